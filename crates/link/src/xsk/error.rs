//! Why a pair could not be opened: what is wrong, where, and what to do about it.

use std::io;

/// Why a [`Pair`](super::Pair) could not be opened.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it; the fields are what they name")]
pub enum OpenError {
    #[error("{interface}: no such interface in this network namespace; `ip link` lists them")]
    NoSuchInterface { interface: String },

    #[error("{interface}: given as both ports of a pair; a wire needs two ends")]
    SameInterface { interface: String },

    #[error("{interface}: is down; run `ip link set dev {interface} up`")]
    Down { interface: String },

    #[error(
        "{a} has an MTU of {mtu_a} and {b} of {mtu_b}: full frames could not cross; \
         run `ip link set dev {a} mtu N` and the same for {b}"
    )]
    UnequalMtu { a: String, mtu_a: u32, b: String, mtu_b: u32 },

    #[error(
        "{interface}: an MTU of {mtu} is more than one chunk of memory holds; \
         run `ip link set dev {interface} mtu {mtu_max}`, or less"
    )]
    MtuTooLarge { interface: String, mtu: u32, mtu_max: u32 },

    #[error(
        "{interface}: {queues} queues are more than {queues_max}; \
         run `ethtool -L {interface} combined {queues_max}`, or less"
    )]
    TooManyQueues { interface: String, queues: u32, queues_max: u32 },

    #[error("{a}:{b}: {what}")]
    Config { a: String, b: String, what: &'static str },

    #[error(
        "{interface}: not permitted, {missing} missing; run as root, or grant CAP_NET_ADMIN, \
         CAP_NET_RAW, CAP_BPF and CAP_IPC_LOCK"
    )]
    Permission { interface: String, missing: String },

    #[error("{interface}: held by process {pid} ({program}); stop it first")]
    Held { interface: String, pid: u32, program: String },

    #[error(
        "{interface}: the XDP program \"{program}\" (id {id}) of somebody else is attached; stop its \
         owner, or remove it with `ip link set dev {interface} xdp off`"
    )]
    ForeignProgram { interface: String, program: String, id: u32 },

    #[error(
        "{interface}: queue {queue} already has an AF_XDP socket of another process; \
         `ss --xdp --processes` may name it"
    )]
    QueueBusy { interface: String, queue: u32 },

    #[error(
        "{interface}: queue {queue} cannot do zero-copy (its driver does not offer it here); \
         use the mode `copy` or `auto`"
    )]
    NoZeroCopy { interface: String, queue: u32 },

    #[error("{interface}: no socket on queue {queue}: {source}")]
    Socket { interface: String, queue: u32, source: io::Error },

    #[error("{interface}: no memory for {bytes} bytes of frames: {source}; ask for fewer frames")]
    Memory { interface: String, bytes: usize, source: io::Error },

    #[error(
        "{interface}: the file system of BPF is not mounted, and mounting it failed: {source}; \
         run `mount -t bpf bpf {path}`"
    )]
    NoBpfFs { interface: String, path: String, source: io::Error },

    #[error("{interface}: {what}: {source}")]
    Steer { interface: String, what: &'static str, source: libbpf_rs::Error },

    #[error("{interface}: {what}: {source}")]
    System { interface: String, what: &'static str, source: io::Error },
}
