//! A bare AF_XDP forwarder: all that TCP is goes from one port to the other, unread. It is what the
//! whole of Tollgate is measured against: it does the same with the rings, and nothing else.
//!
//! `bare_forwarder --pair A:B [--seconds N] [--workers N] [--ring N] [--mode auto|copy|zerocopy|redirect]`
//!
//! With `redirect` no socket takes anything: the steering program sends every frame across in the kernel.
//!
//! Needs root. SIGTERM ends it early. Prints what was forwarded, and the counters that prove by which way.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

use std::{
    env, process,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tollgate_link::{
    Link, Port,
    xsk::{Fail, Mode, Pair, PairConfig, XskLink},
};

const BATCH: usize = 64;
/// How long a worker looks for frames before it sleeps: as long as Tollgate's do.
const VIGIL: Duration = Duration::from_micros(200);
const USAGE: &str = "bare_forwarder --pair A:B [--seconds N] [--workers N] [--ring N] [--mode auto|copy|zerocopy|redirect]";

fn main() {
    let Some((mut config, duration, redirect)) = arguments() else {
        eprintln!("usage: {USAGE}");
        process::exit(2);
    };
    // A worker that is late must not be bypassed by what it is compared with.
    config.fail = if redirect { Fail::Wire } else { Fail::Closed };
    let (pair, links) = Pair::open(&config).unwrap_or_else(|error| {
        eprintln!("{error}");
        process::exit(1);
    });
    for queue in pair.queues() {
        let mode = if queue.zero_copy { "zero-copy" } else { "copy" };
        println!("{} queue {}: worker {}, {mode}", queue.interface, queue.queue, queue.worker);
    }
    let pages = if pair.huge_pages() { "huge" } else { "normal" };
    println!("{} frames in {} MiB of {pages} pages", pair.frames(), pair.memory() >> 20);

    let stop = Arc::new(AtomicBool::new(false));
    let start = Instant::now();
    // A link that goes takes its sockets out of the steering program.
    let links = if redirect { Vec::new() } else { links };
    let workers: Vec<_> = links
        .into_iter()
        .map(|link| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || work(link, &stop))
        })
        .collect();
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
        if let Err(error) = signal_hook::flag::register(signal, Arc::clone(&stop)) {
            eprintln!("no signal will end this early: {error}");
        }
    }
    while start.elapsed() < duration && !stop.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(50));
    }
    stop.store(true, Ordering::Relaxed);
    let mut forwarded = [0; 2];
    for worker in workers {
        let Ok(counts) = worker.join() else { continue };
        for (sum, count) in forwarded.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    let seconds = start.elapsed().as_secs_f64();

    for (port, count) in Port::BOTH.into_iter().zip(forwarded) {
        println!("from {}: {count} frames forwarded, {:.0}/s", port.name(), count as f64 / seconds);
        let Ok(verdicts) = pair.steer_counts(port) else { continue };
        for (verdict, count) in verdicts.iter().filter(|(_, count)| count.frames > 0) {
            println!("  steered {}: {} frames", verdict.name(), count.frames);
        }
    }
    if let Err(error) = pair.close() {
        eprintln!("closing: {error}");
    }
}

/// Forwards until told to stop; how many frames from A, from B.
fn work(mut link: XskLink, stop: &AtomicBool) -> [u64; 2] {
    let mut forwarded = [0; 2];
    let mut batch = Vec::with_capacity(BATCH);
    let mut last = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        let mut received = 0;
        for (port, forwarded) in Port::BOTH.into_iter().zip(&mut forwarded) {
            received += link.receive(port, &mut batch);
            *forwarded += link.transmit(port.peer(), &mut batch) as u64;
            // Waiting for room would only move the loss, and add latency to it.
            for frame in batch.drain(..) {
                link.release(frame);
            }
        }
        if received > 0 {
            last = Instant::now();
        } else if last.elapsed() >= VIGIL {
            link.wait(Duration::from_millis(1));
        }
    }
    for queue in link.statistics() {
        println!("{} queue {}: {:?}", queue.port.name(), queue.queue, queue.counts);
    }
    println!("worker {}: {:?}, {:?}", link.worker(), link.census(), link.counts());
    forwarded
}

fn arguments() -> Option<(PairConfig, Duration, bool)> {
    let mut config = PairConfig::new("", "");
    let (mut seconds, mut redirect) = (10, false);
    let mut arguments = env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next()?;
        match name.as_str() {
            "--pair" => {
                let (a, b) = value.split_once(':')?;
                (config.a, config.b) = (a.to_owned(), b.to_owned());
            }
            "--seconds" => seconds = value.parse().ok()?,
            "--workers" => config.workers = value.parse().ok()?,
            "--ring" => config.ring = value.parse().ok()?,
            "--mode" => {
                redirect = value == "redirect";
                config.mode = match value.as_str() {
                    "redirect" | "auto" => Mode::Auto,
                    "copy" => Mode::Copy,
                    "zerocopy" => Mode::ZeroCopy,
                    _ => return None,
                }
            }
            _ => return None,
        }
    }
    (!config.a.is_empty()).then_some((config, Duration::from_secs(seconds), redirect))
}
