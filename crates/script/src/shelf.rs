use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use tollgate_inspect::regexp::{Flags, PatternError, Regexp};
use tollgate_inspect::signatures::{Signature, SignatureError, Signatures};

/// What was compiled while a script was loaded, for the workers that load it after. Locked while a
/// script loads, never in an event.
#[derive(Debug, Default)]
pub(crate) struct Shelf {
    expressions: Mutex<BTreeMap<(Vec<u8>, Flags), Regexp>>,
    sets: Mutex<BTreeMap<Arc<[Signature]>, Signatures>>,
}

impl Shelf {
    pub(crate) fn expression(&self, pattern: &[u8], flags: Flags) -> Result<Regexp, PatternError> {
        let mut known = self.expressions.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (pattern.to_vec(), flags);
        if let Some(regexp) = known.get(&key) {
            return Ok(regexp.clone());
        }
        let regexp = Regexp::compile(pattern, flags)?;
        known.insert(key, regexp.clone());
        Ok(regexp)
    }

    pub(crate) fn set(&self, list: Vec<Signature>) -> Result<Signatures, SignatureError> {
        let mut known = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(set) = known.get(list.as_slice()) {
            return Ok(set.clone());
        }
        let set = Signatures::compile(&list)?;
        known.insert(list.into(), set.clone());
        Ok(set)
    }
}
