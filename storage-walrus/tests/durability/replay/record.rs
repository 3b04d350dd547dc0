//! Reading what strace recorded.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// What is recorded. Writes through memory maps are not: SQLite maps only its index of the log, which it makes anew.
pub const TRACE: &str = "trace=openat,write,writev,pwrite64,pwritev,sendto,sendmsg,fsync,fdatasync,rename,renameat,\
    renameat2,unlink,unlinkat,mkdir,ftruncate,fallocate,copy_file_range,sendfile,link,linkat";

/// One thing that happened to the disk, or that a client was told.
#[derive(Debug, Clone)]
pub enum Event {
    /// A file was opened for writing, and made if it was not there; or emptied.
    Opened {
        path: PathBuf,
        emptied: bool,
    },
    /// Bytes were written; without a place: behind those before.
    Wrote {
        path: PathBuf,
        at: Option<u64>,
        data: Vec<u8>,
    },
    /// A file was cut or stretched.
    Length {
        path: PathBuf,
        len: u64,
    },
    /// A file or a directory was synced.
    Sync {
        path: PathBuf,
    },
    Renamed {
        from: PathBuf,
        to: PathBuf,
    },
    Removed {
        path: PathBuf,
    },
    MadeDir {
        path: PathBuf,
    },
    /// A request was answered.
    Answered,
}

/// The events under `dir`, in the order in which their calls returned.
pub fn read(log: &Path, dir: &Path) -> Vec<Event> {
    let text = std::fs::read_to_string(log).unwrap();
    let mut begun: HashMap<&str, &str> = HashMap::new();
    let mut out = Vec::new();
    for line in text.lines() {
        let Some((pid, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some(start) = call.strip_suffix(" <unfinished ...>") {
            begun.insert(pid, start);
        } else if call.starts_with("<... ") {
            let start = begun.remove(pid).unwrap_or_default();
            let rest = call.split_once("resumed>").map_or("", |(_, rest)| rest);
            out.extend(event(&format!("{start}{rest}"), dir));
        } else {
            out.extend(event(call, dir));
        }
    }
    out
}

/// One finished call: `name(arguments) = result`.
fn event(call: &str, dir: &Path) -> Option<Event> {
    let (name, rest) = call.split_once('(')?;
    let (arguments, result) = rest.rsplit_once(" = ")?;
    if result.starts_with('-') {
        return None;
    }
    let ours = |path: &Path| path.starts_with(dir);
    let file = || fd_path(arguments).filter(|path| ours(path));
    match name {
        "openat" => {
            let path = PathBuf::from(text(strings(arguments).first()?));
            let writes = arguments.contains("O_CREAT") || arguments.contains("O_TRUNC");
            (writes && ours(&path)).then(|| Event::Opened { emptied: arguments.contains("O_TRUNC"), path })
        }
        "write" | "writev" | "pwrite64" | "pwritev" | "sendto" | "sendmsg" => {
            let mut data: Vec<u8> = strings(arguments).into_iter().flatten().collect();
            let Some(path) = file() else {
                // An answer of the server: one write each, as the bodies are small.
                return data.starts_with(b"HTTP/1.1 ").then_some(Event::Answered);
            };
            data.truncate(result.split(' ').next()?.parse().ok()?);
            let at = name.starts_with('p').then(|| last_number(arguments)).flatten();
            Some(Event::Wrote { path, at, data })
        }
        "fsync" | "fdatasync" => file().map(|path| Event::Sync { path }),
        "ftruncate" => {
            let len = last_number(arguments)?;
            file().map(|path| Event::Length { path, len })
        }
        "rename" | "renameat" | "renameat2" => {
            let names = strings(arguments);
            let (from, to) = (PathBuf::from(text(names.first()?)), PathBuf::from(text(names.get(1)?)));
            ours(&from).then_some(Event::Renamed { from, to })
        }
        "unlink" | "unlinkat" => {
            let path = PathBuf::from(text(strings(arguments).first()?));
            ours(&path).then_some(Event::Removed { path })
        }
        "mkdir" => {
            let path = PathBuf::from(text(strings(arguments).first()?));
            ours(&path).then_some(Event::MadeDir { path })
        }
        other => {
            let touched = file();
            assert!(touched.is_none(), "{other} changes {touched:?}, and this record cannot follow it");
            None
        }
    }
}

/// The file of the descriptor that stands first: `5</path>`, also where strace wrote it in hex.
fn fd_path(arguments: &str) -> Option<PathBuf> {
    let (_, rest) = arguments.split_once('<')?;
    let (path, _) = rest.split_once('>')?;
    Some(PathBuf::from(if path.starts_with("\\x") { text(&unhex(path)) } else { path.to_owned() }))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The bytes of every quoted argument, all in the form `\x41\x42`.
fn strings(arguments: &str) -> Vec<Vec<u8>> {
    arguments.split('"').skip(1).step_by(2).map(unhex).collect()
}

fn unhex(quoted: &str) -> Vec<u8> {
    let digits: String = quoted.split("\\x").collect();
    hex::decode(digits).expect("strace -xx writes every byte in hex")
}

/// The last argument, a number.
fn last_number(arguments: &str) -> Option<u64> {
    arguments.trim_end().trim_end_matches(')').rsplit(", ").next()?.parse().ok()
}
