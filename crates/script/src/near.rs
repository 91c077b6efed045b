//! What was meant by a name that nobody knows.
/// Names further apart than this are not taken for a slip of the finger.
const SUGGESTION_DISTANCE_MAX: usize = 3;

/// The nearest of the names that are known, if it is near.
pub(crate) fn suggest(name: &str, known: Vec<String>) -> Option<String> {
    known
        .into_iter()
        .map(|near| (strsim::damerau_levenshtein(name, &near), near))
        .filter(|(distance, near)| *distance <= SUGGESTION_DISTANCE_MAX.min(near.len() / 2))
        .min()
        .map(|(_, near)| near)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let known = || vec!["new_connection".to_owned(), "receive_data".to_owned()];
        assert_eq!(suggest("new_conection", known()).as_deref(), Some("new_connection"));
        assert_eq!(suggest("send_packet", known()), None);
    }
}
