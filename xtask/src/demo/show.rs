//! What the demo prints besides its own steps: every request as metad logs it, tables, and the way in.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use metad_tests::progress::Progress;
use metad_tests::virt::Asked;

use super::door;

/// Prints metad's requests as they come, while `work` goes on.
pub(super) fn following<T>(
    log: PathBuf,
    progress: &Progress,
    work: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let done = AtomicBool::new(false);
    thread::scope(|threads| {
        threads.spawn(|| {
            let mut tail = Tail::new(log);
            loop {
                // Asked before the last look, so that nothing logged until then is missed.
                let last = done.load(Ordering::Acquire);
                for line in tail.lines() {
                    if let Some(asked) = Asked::read(&line) {
                        progress.say(spoken(&asked));
                    }
                }
                if last {
                    return;
                }
                thread::sleep(Duration::from_millis(100));
            }
        });
        let result = work();
        done.store(true, Ordering::Release);
        result
    })
}

/// A request as one line.
fn spoken(asked: &Asked) -> String {
    let milliseconds = Duration::from_micros(asked.microseconds).as_secs_f64() * 1000.0;
    format!(
        "  {:<5} {} {:<8} {:<4} {} → {}  {milliseconds:.1} ms",
        asked.guest, asked.mac, asked.interface, asked.method, asked.path, asked.status
    )
}

/// A table with a heading; columns as wide as their widest cell.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let lines = rows.iter().map(|row| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:<width$}"));
        format!("  {}", cells.collect::<Vec<_>>().join("  ").trim_end())
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Says how to enter, then waits for Ctrl-C, which ends this process and all that it made.
pub(super) fn stay(progress: &Progress, more: &[(&str, String)]) -> Result<()> {
    let enter = door::enter()?;
    progress.print("\nIt keeps running. From another terminal:\n");
    let mut rows = vec![vec!["a shell on the host".to_owned(), enter.clone()]];
    rows.extend(
        more.iter()
            .map(|(what, command)| vec![(*what).to_owned(), format!("{enter} {command}")]),
    );
    progress.print(&table(&rows));
    progress.print("\nCtrl-C ends it and removes everything.");
    loop {
        thread::park();
    }
}

/// A file that grows, line by line.
struct Tail {
    path: PathBuf,
    position: u64,
    pending: Vec<u8>,
}

impl Tail {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            position: 0,
            pending: Vec::new(),
        }
    }

    /// The whole lines that have come since the last call.
    fn lines(&mut self) -> Vec<String> {
        let mut new = Vec::new();
        let read = File::open(&self.path).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.position))?;
            file.read_to_end(&mut new)
        });
        // A log that is not there yet has no lines.
        let Ok(count) = read else {
            return Vec::new();
        };
        self.position += u64::try_from(count).unwrap_or_default();
        self.pending.append(&mut new);
        let Some(end) = self.pending.iter().rposition(|&byte| byte == b'\n') else {
            return Vec::new();
        };
        let whole: Vec<u8> = self.pending.drain(..=end).collect();
        String::from_utf8_lossy(&whole)
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn a_growing_file_gives_whole_lines_once() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut tail = Tail::new(file.path().to_owned());
        for (write, expected) in [
            ("one\ntw", vec!["one"]),
            ("", vec![]),
            ("o\nthree\n", vec!["two", "three"]),
        ] {
            file.write_all(write.as_bytes()).unwrap();
            assert_eq!(tail.lines(), expected, "after {write:?}");
        }
    }

    #[test]
    fn columns_line_up() {
        let row = |cells: &[&str]| {
            cells
                .iter()
                .map(|cell| (*cell).to_owned())
                .collect::<Vec<_>>()
        };
        let text = table(&[row(&["a", "bb", ""]), row(&["aaa", "b", "c"])]);
        assert_eq!(text, "  a    bb\n  aaa  b   c");
    }
}
