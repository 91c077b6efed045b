//! Rules that take the place of others while the workers work.
//!
//! The control thread reads and checks a script; each worker then makes rules of its own from it, in
//! its own thread, between its turns. Only when all have them is every worker told to take them: a
//! script that fails in one of them changes nothing in any. Nobody waits but the control thread.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;
use tollgate_policy::Living;

use crate::fault::Faults;

/// How long all workers together may take to make their rules. A script's own limit is some seconds, and
/// it runs beside the traffic.
const PREPARED_MAX: Duration = Duration::from_secs(60);
/// Between two looks for an answer.
const LOOK: Duration = Duration::from_millis(1);
/// More than the orders of one exchange.
const ORDERS_MAX: usize = 4;

/// What a worker is told.
#[derive(Debug)]
pub(crate) enum Order<R> {
    /// Make rules and keep them ready; answer.
    Prepare(Arc<R>),
    /// Take those that are ready; answer.
    Commit(Living),
    /// Forget those that are ready.
    Abort,
}

/// What a worker answers, and to which exchange.
type Answer = (u64, Result<(), Faults>);

/// Between the control thread and one worker: both ends only ever look, neither waits for the other.
#[derive(Debug)]
pub(crate) struct Mailbox<R> {
    orders: ArrayQueue<(u64, Order<R>)>,
    answers: ArrayQueue<Answer>,
}

impl<R> Mailbox<R> {
    fn new() -> Self {
        Self { orders: ArrayQueue::new(ORDERS_MAX), answers: ArrayQueue::new(ORDERS_MAX) }
    }

    /// The worker's next order, and the number of its exchange.
    pub(crate) fn order(&self) -> Option<(u64, Order<R>)> {
        self.orders.pop()
    }

    /// The worker's answer.
    pub(crate) fn answer(&self, exchange: u64, result: Result<(), Faults>) {
        drop(self.answers.force_push((exchange, result)));
    }
}

/// The control thread's side: the mailboxes of all workers.
pub(crate) struct Exchange<R> {
    mailboxes: RefCell<Vec<Arc<Mailbox<R>>>>,
    number: RefCell<u64>,
}

impl<R> fmt::Debug for Exchange<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exchange").field("number", &self.number).finish_non_exhaustive()
    }
}

impl<R> Exchange<R> {
    pub(crate) fn new() -> Self {
        Self { mailboxes: RefCell::default(), number: RefCell::default() }
    }

    /// The mailbox of one more worker.
    pub(crate) fn enroll(&self) -> Arc<Mailbox<R>> {
        let mailbox = Arc::new(Mailbox::new());
        self.mailboxes.borrow_mut().push(Arc::clone(&mailbox));
        mailbox
    }

    /// Puts `rules` in place in every worker, or, if one cannot have them, in none. `go_on` tells
    /// whether waiting still makes sense.
    ///
    /// # Errors
    /// What kept a worker from having them.
    pub(crate) fn exchange(
        &self,
        rules: &Arc<R>,
        living: Living,
        go_on: impl Fn() -> bool,
    ) -> Result<(), String> {
        let number = {
            let mut number = self.number.borrow_mut();
            *number += 1;
            *number
        };
        self.tell(number, || Order::Prepare(Arc::clone(rules)));
        if let Err(why) = self.gather(number, &go_on) {
            self.tell(number, || Order::Abort);
            return Err(why);
        }
        self.tell(number, || Order::Commit(living));
        self.gather(number, &go_on)
    }

    fn tell(&self, number: u64, order: impl Fn() -> Order<R>) {
        for mailbox in &*self.mailboxes.borrow() {
            drop(mailbox.orders.force_push((number, order())));
        }
    }

    /// Waits for one answer of each worker.
    fn gather(&self, number: u64, go_on: &impl Fn() -> bool) -> Result<(), String> {
        let deadline = Instant::now() + PREPARED_MAX;
        for mailbox in &*self.mailboxes.borrow() {
            loop {
                match mailbox.answers.pop() {
                    Some((of, Ok(()))) if of == number => break,
                    Some((of, Err(faults))) if of == number => return Err(faults.to_string()),
                    // What an exchange that was given up has left behind.
                    Some(_) => {}
                    None if !go_on() => return Err("the program stops".into()),
                    None if Instant::now() > deadline => {
                        return Err(format!(
                            "a worker has not made its rules within {} s",
                            PREPARED_MAX.as_secs()
                        ));
                    }
                    None => std::thread::sleep(LOOK),
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::mpsc;

    use super::*;
    use crate::fault::Fault;

    /// A worker that answers as it is told to; gives what it was ordered.
    fn worker(
        mailbox: Arc<Mailbox<&'static str>>,
        prepared: Result<(), Faults>,
        orders: usize,
    ) -> std::thread::JoinHandle<Vec<String>> {
        std::thread::spawn(move || {
            let mut seen = Vec::new();
            while seen.len() < orders {
                match mailbox.order() {
                    None => std::thread::yield_now(),
                    Some((number, order)) => {
                        seen.push(format!("{order:?}"));
                        match order {
                            Order::Prepare(_) => mailbox.answer(number, prepared.clone()),
                            Order::Commit(_) => mailbox.answer(number, Ok(())),
                            Order::Abort => {}
                        }
                    }
                }
            }
            seen
        })
    }

    #[test]
    fn all_workers_take_the_rules_or_none_does() {
        let exchange = Exchange::new();
        let good = worker(exchange.enroll(), Ok(()), 2);
        assert_eq!(exchange.exchange(&Arc::new("new"), Living::Keep, || true), Ok(()));
        assert_eq!(good.join().unwrap(), ["Prepare(\"new\")", "Commit(Keep)"]);

        let exchange = Exchange::new();
        let fault = Faults(vec![Fault::of_file(Path::new("a.lua"), "is broken")]);
        let workers =
            [worker(exchange.enroll(), Ok(()), 2), worker(exchange.enroll(), Err(fault), 2)];
        let refused = exchange.exchange(&Arc::new("bad"), Living::Keep, || true);
        assert_eq!(refused, Err("a.lua: is broken".into()));
        for worker in workers {
            assert_eq!(worker.join().unwrap(), ["Prepare(\"bad\")", "Abort"]);
        }
    }

    #[test]
    fn nobody_waits_for_a_worker_that_has_gone() {
        let exchange = Exchange::new();
        let (gone, is_gone) = mpsc::channel();
        let mailbox = exchange.enroll();
        // An answer to something else is no answer.
        mailbox.answer(77, Ok(()));
        gone.send(()).unwrap();
        let go_on = || is_gone.try_recv().is_err();
        let refused = exchange.exchange(&Arc::new("new"), Living::Move, go_on);
        assert_eq!(refused, Err("the program stops".into()));
    }
}
