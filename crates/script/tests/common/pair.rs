//! Both directions of a connection, as the engine's simplest form: see `wire`.
use tollgate_policy::{Data, Verdict};
use tollgate_wire::Direction;
use tollgate_wire::Direction::{ToClient, ToServer};

use super::Scene;

#[derive(Default)]
struct Lane {
    held: Vec<u8>,
    offset: u64,
    out: Vec<u8>,
}

pub struct Pair {
    pub scene: Scene,
    lanes: [Lane; 2],
    /// Set once the connection has been ended.
    pub over: Option<Verdict>,
}

impl Pair {
    pub fn new(text: &str) -> Self {
        let mut pair = Self::of(Scene::new(text));
        pair.scene.open();
        pair.scene.said();
        pair
    }

    pub fn of(scene: Scene) -> Self {
        Self { scene, lanes: [Lane::default(), Lane::default()], over: None }
    }

    /// A segment arrives; `end` is its FIN. Nothing passes once the connection is over.
    pub fn push(&mut self, direction: Direction, bytes: &[u8], end: bool) {
        if self.over.is_some() {
            return;
        }
        let lane = &mut self.lanes[usize::from(direction == ToClient)];
        let mut data = Data::new(lane.offset, end).seen(lane.held.len() as u64);
        data.push(&lane.held);
        data.push(bytes);
        let all = data.to_vec();
        let verdict = self.scene.show(data, direction);
        if verdict != Verdict::Accept {
            self.over = Some(verdict);
            return;
        }
        let wishes = std::mem::take(&mut self.scene.wishes);
        let place = |at: u64| usize::try_from(at - lane.offset).unwrap();
        let mut hold = wishes.hold_from.map_or(all.len(), place);
        let mut at = 0;
        for edit in &wishes.edits {
            let start = place(edit.start);
            lane.out.extend(&all[at..start]);
            lane.out.extend(&edit.bytes);
            at = place(edit.end());
        }
        hold = hold.max(at);
        lane.out.extend(&all[at..hold]);
        lane.held = all[hold..].to_vec();
        lane.offset += hold as u64;
    }

    /// So many bytes that nobody is shown; what was held goes on with them.
    pub fn pass_unseen(&mut self, direction: Direction, count: u64) {
        let lane = &mut self.lanes[usize::from(direction == ToClient)];
        lane.offset += lane.held.len() as u64 + count;
        lane.out.append(&mut lane.held);
    }

    pub fn up(&mut self, bytes: &str) {
        self.push(ToServer, bytes.as_bytes(), false);
    }

    pub fn down(&mut self, bytes: &str) {
        self.push(ToClient, bytes.as_bytes(), false);
    }

    pub fn end(&mut self, direction: Direction) {
        self.push(direction, b"", true);
    }

    /// What has left towards the server, and towards the client.
    pub fn out(&self, direction: Direction) -> String {
        String::from_utf8_lossy(&self.lanes[usize::from(direction == ToClient)].out).into_owned()
    }

    pub fn held(&self, direction: Direction) -> usize {
        self.lanes[usize::from(direction == ToClient)].held.len()
    }

    #[track_caller]
    pub fn got_up(&self, wanted: &str) {
        assert_eq!(self.out(ToServer), wanted);
    }

    #[track_caller]
    pub fn got_down(&self, wanted: &str) {
        assert_eq!(self.out(ToClient), wanted);
    }

    pub fn said(&mut self) -> Vec<String> {
        self.scene.said()
    }
}
