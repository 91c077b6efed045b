//! What the engine does with a rule's wishes, in its simplest form: one direction of a stream, whose
//! held bytes are shown again, and whose changed bytes are what the receiver gets.
use tollgate_policy::{Data, Verdict};
use tollgate_wire::Direction::ToServer;

use super::Scene;

pub struct Wire {
    pub scene: Scene,
    held: Vec<u8>,
    offset: u64,
    /// What the receiver has got.
    pub out: Vec<u8>,
}

impl Wire {
    pub fn new(text: &str) -> Self {
        Self::of(Scene::new(text))
    }

    pub fn of(scene: Scene) -> Self {
        Self { scene, held: Vec::new(), offset: 0, out: Vec::new() }
    }

    /// A segment arrives; `end` is its FIN.
    pub fn push(&mut self, bytes: &[u8], end: bool) -> Verdict {
        let mut data = Data::new(self.offset, end).seen(self.held.len() as u64);
        data.push(&self.held);
        data.push(bytes);
        let all = data.to_vec();
        let verdict = self.scene.show(data, ToServer);
        if verdict != Verdict::Accept {
            return verdict;
        }
        let wishes = std::mem::take(&mut self.scene.wishes);
        let place = |at: u64| usize::try_from(at - self.offset).unwrap();
        let mut hold = wishes.hold_from.map_or(all.len(), place);
        let mut at = 0;
        for edit in &wishes.edits {
            let start = place(edit.start);
            self.out.extend(&all[at..start]);
            self.out.extend(&edit.bytes);
            at = place(edit.end());
        }
        hold = hold.max(at);
        self.out.extend(&all[at..hold]);
        self.held = all[hold..].to_vec();
        self.offset += hold as u64;
        verdict
    }

    /// The bound is reached: what is held goes on as it is.
    pub fn release(&mut self) {
        self.offset += self.held.len() as u64;
        self.out.append(&mut self.held);
    }

    /// What is held goes on, and bytes behind it that no rule sees.
    pub fn pass_unseen(&mut self, count: u64) {
        self.release();
        self.offset += count;
    }

    pub fn held(&self) -> &[u8] {
        &self.held
    }

    pub fn said(&mut self) -> Vec<String> {
        self.scene.said()
    }

    #[track_caller]
    pub fn got(&self, wanted: &str) {
        assert_eq!(String::from_utf8_lossy(&self.out), wanted);
    }
}
