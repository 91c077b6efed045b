//! The control socket: how `tollgate reload` speaks to a running one.
//!
//! A question is one line, the answer a line `done` or `refused` and then text for people. The socket is
//! its owner's only, in a directory that is its owner's only, so that nobody else can even ask.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tollgate_policy::Living;

/// How long who asks may take to say what.
const ASKED_MAX: Duration = Duration::from_secs(1);
/// How long an answer may take: a reload waits for every worker.
const ANSWERED_MAX: Duration = Duration::from_secs(120);
/// Bytes of a question.
const QUESTION_MAX: u64 = 64;
/// Bytes of an answer.
const ANSWER_MAX: u64 = 1 << 20;
/// What the name of a socket ends in, after the process's number.
const SUFFIX: &str = "sock";

/// What may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// Load the rules again; none: what lives fares as the configuration says.
    Reload(Option<Living>),
}

impl Question {
    fn parse(line: &str) -> Option<Self> {
        match line.trim_end() {
            "reload" => Some(Self::Reload(None)),
            "reload keep" => Some(Self::Reload(Some(Living::Keep))),
            "reload move" => Some(Self::Reload(Some(Living::Move))),
            _ => None,
        }
    }

    const fn line(self) -> &'static str {
        match self {
            Self::Reload(None) => "reload\n",
            Self::Reload(Some(Living::Keep)) => "reload keep\n",
            Self::Reload(Some(Living::Move)) => "reload move\n",
        }
    }
}

/// What was done, or why it was not, in words.
pub(crate) type Answer = Result<String, String>;

/// A socket of a running program. The file goes with it.
#[derive(Debug)]
pub(crate) struct Control {
    listener: UnixListener,
    path: PathBuf,
}

impl Control {
    /// Opens the socket of this process in `directory`.
    ///
    /// # Errors
    /// What is in the way.
    pub(crate) fn open(directory: &Path) -> std::io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let path = directory.join(format!("{}.{SUFFIX}", std::process::id()));
        // Left by one that was killed, and had the same number.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        let control = Self { listener, path };
        fs::set_permissions(&control.path, fs::Permissions::from_mode(0o600))?;
        control.listener.set_nonblocking(true)?;
        Ok(control)
    }

    /// Answers who has asked since the last time, if anybody has.
    pub(crate) fn serve(&self, mut answer: impl FnMut(Question) -> Answer) {
        while let Ok((stream, _)) = self.listener.accept() {
            if let Err(error) = Self::converse(stream, &mut answer) {
                tracing::warn!("the control socket: {error}");
            }
        }
    }

    fn converse(
        stream: UnixStream,
        answer: &mut impl FnMut(Question) -> Answer,
    ) -> std::io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(ASKED_MAX))?;
        stream.set_write_timeout(Some(ASKED_MAX))?;
        let mut line = String::new();
        BufReader::new(&stream).take(QUESTION_MAX).read_line(&mut line)?;
        let (word, text) = match Question::parse(&line).map(answer) {
            Some(Ok(text)) => ("done", text),
            Some(Err(text)) => ("refused", text),
            None => ("refused", "this question is not understood".into()),
        };
        (&stream).write_all(format!("{word}\n{text}").as_bytes())?;
        stream.shutdown(Shutdown::Write)
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // If it is gone already, so much the better.
        let _ = fs::remove_file(&self.path);
    }
}

/// Asks the program with the number `pid`, or the only one that runs.
///
/// # Errors
/// Nobody, or more than one, is there to be asked.
pub(crate) fn ask(
    directory: &Path,
    pid: Option<u32>,
    question: Question,
) -> anyhow::Result<Answer> {
    let mut stream = match pid {
        Some(pid) => connect(directory, pid)?,
        None => only(directory)?,
    };
    stream.set_read_timeout(Some(ANSWERED_MAX))?;
    stream.write_all(question.line().as_bytes())?;
    let mut text = String::new();
    stream.take(ANSWER_MAX).read_to_string(&mut text)?;
    match text.split_once('\n') {
        Some(("done", text)) => Ok(Ok(text.to_owned())),
        Some(("refused", text)) => Ok(Err(text.to_owned())),
        _ => anyhow::bail!("it ended before it answered"),
    }
}

fn connect(directory: &Path, pid: u32) -> anyhow::Result<UnixStream> {
    let path = directory.join(format!("{pid}.{SUFFIX}"));
    UnixStream::connect(&path).map_err(|error| match error.kind() {
        ErrorKind::PermissionDenied => {
            anyhow::anyhow!("{}: {error}; ask as the user it runs as", path.display())
        }
        _ => anyhow::anyhow!(
            "no tollgate with the number {pid} answers at {}: {error}",
            path.display()
        ),
    })
}

/// The only one that answers.
fn only(directory: &Path) -> anyhow::Result<UnixStream> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => {
            anyhow::bail!("no tollgate runs here: {} is not there", directory.display())
        }
        Err(error) => anyhow::bail!("{}: {error}", directory.display()),
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        let pid = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u32>().ok());
        if let Some(pid) = pid
            && let Ok(stream) = UnixStream::connect(&path)
        {
            found.push((pid, stream));
        }
    }
    found.sort_by_key(|(pid, _)| *pid);
    match found.len() {
        0 => anyhow::bail!("no tollgate runs here: none answers in {}", directory.display()),
        1 => Ok(found.remove(0).1),
        _ => {
            let pids: Vec<_> = found.iter().map(|(pid, _)| pid.to_string()).collect();
            anyhow::bail!("{} of them run: say which with --pid ({})", pids.len(), pids.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Serves one question, and gives what was asked and what came back.
    fn ask_one(directory: &Path, pid: Option<u32>, answer: Answer) -> (Question, Answer) {
        let control = Control::open(directory).unwrap();
        let mode = fs::metadata(&control.path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        std::thread::scope(|scope| {
            let question = Question::Reload(Some(Living::Move));
            let asked = scope.spawn(move || ask(directory, pid, question).unwrap());
            let mut seen = None;
            while seen.is_none() {
                control.serve(|question| {
                    seen = Some(question);
                    answer.clone()
                });
            }
            (seen.unwrap(), asked.join().unwrap())
        })
    }

    #[test]
    fn a_question_is_answered_and_the_socket_goes_with_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("control");
        let question = Question::Reload(Some(Living::Move));
        let done = Ok("new rules\nin 3 ms".to_owned());
        assert_eq!(ask_one(&path, Some(std::process::id()), done.clone()), (question, done));
        let refused = Err("a.lua:1: no".to_owned());
        assert_eq!(ask_one(&path, None, refused.clone()), (question, refused));
        assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
    }

    #[test]
    fn nobody_there_is_told() {
        let directory = tempfile::tempdir().unwrap();
        // Somebody's who was killed.
        drop(UnixListener::bind(directory.path().join("99999999.sock")).unwrap());
        for (pid, told) in [(None, "none answers in"), (Some(99_999_999), "no tollgate with")] {
            let error = ask(directory.path(), pid, Question::Reload(None)).unwrap_err();
            assert!(error.to_string().contains(told), "{error}");
        }
        let nowhere = directory.path().join("nowhere");
        let error = ask(&nowhere, None, Question::Reload(None)).unwrap_err();
        assert!(error.to_string().contains("no tollgate runs here"), "{error}");
    }

    #[test]
    fn questions_are_read_as_they_are_written() {
        for living in [None, Some(Living::Keep), Some(Living::Move)] {
            let question = Question::Reload(living);
            assert_eq!(Question::parse(question.line()), Some(question));
        }
        assert_eq!(Question::parse("stop\n"), None);
    }
}
