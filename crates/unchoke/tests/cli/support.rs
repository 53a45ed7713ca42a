//! Runs the binary in a folder of its own.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// A folder with a state folder beside it; both go when it is dropped.
pub struct Place {
    root: TempDir,
}

/// How a run ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Place {
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("work")).unwrap();
        Place { root }
    }

    /// A path in the folder that commands run in.
    pub fn path(&self, name: &str) -> PathBuf {
        self.root.path().join("work").join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// A folder `name` of four files, 2.5 MB in all, one of them empty.
    pub fn tree(&self, name: &str) {
        self.write(&format!("{name}/a/big"), noise(2_400_000, 1));
        self.write(&format!("{name}/a-small"), noise(5_000, 2));
        self.write(&format!("{name}/empty"), []);
        self.write(&format!("{name}/z.txt"), noise(95_000, 3));
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unchoke"));
        command.args(args).current_dir(self.path("")).env("UNCHOKE_STATE", self.root.path().join("state"));
        command.env_remove("UNCHOKE_LOG").stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Ended {
        Ended::of(self.command(args).output().unwrap())
    }

    /// Runs what must succeed, and gives what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, Some(0), "{args:?}: {ended:?}");
        ended.out
    }

    pub fn show(&self, torrent: &str) -> Value {
        serde_json::from_str(&self.ok(&["show", torrent, "--json"])).unwrap()
    }

    /// Runs what must fail in this way: one line on stderr with all of `names`, nothing on stdout.
    pub fn fails(&self, code: i32, args: &[&str], names: &[&str]) {
        let ended = self.run(args);
        ended.is_one_line(names);
        assert_eq!((ended.code, ended.out.as_str()), (Some(code), ""), "{args:?}: {ended:?}");
    }

    /// Starts `seed` without a DHT, and waits until it is ready.
    pub fn seed(&self, args: &[&str]) -> Seed {
        self.seed_with(&[args, &["--no-dht"]].concat())
    }

    /// Starts `seed` and waits until it is ready.
    pub fn seed_with(&self, args: &[&str]) -> Seed {
        let mut command = self.command(&["seed", "--listen", "127.0.0.1:0", "--no-lsd"]);
        let mut child = command.args(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.find(|l| l.as_ref().is_ok_and(|l| l.starts_with("seeding ")));
        let ready = ready.expect("it gets ready before it ends").unwrap();
        let addr = ready.rsplit_once(" on ").unwrap().1.to_owned();
        Seed { child, ready, addr }
    }
}

impl Ended {
    pub fn of(output: std::process::Output) -> Self {
        Ended {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Checks that stderr is one line that begins with the program and names all of these.
    pub fn is_one_line(&self, names: &[&str]) {
        assert_eq!(self.err.lines().count(), 1, "{self:?}");
        assert!(self.err.starts_with("unchoke: ") && self.err.ends_with('\n'), "{self:?}");
        for name in names {
            assert!(self.err.contains(name), "{name:?} in {self:?}");
        }
    }

    /// The events printed under `--json`.
    pub fn events(&self) -> Vec<Value> {
        self.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// The last event of this name.
    pub fn event(&self, name: &str) -> Value {
        let found = self.events().into_iter().rfind(|e| e["event"] == name);
        found.unwrap_or_else(|| panic!("no {name} in {self:?}"))
    }
}

/// A running `seed`; it is killed when dropped.
pub struct Seed {
    child: Child,
    pub ready: String,
    pub addr: String,
}

impl Seed {
    /// Asks it to end, and gives its exit code.
    pub fn interrupt(mut self) -> Option<i32> {
        interrupt(&self.child);
        self.child.wait().unwrap().code()
    }

    /// Waits until it ends by itself, and gives its exit code.
    pub fn wait(mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        // it may have ended by itself
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What Ctrl-C does.
pub fn interrupt(child: &Child) {
    let status = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

/// Bytes that look random, the same for the same `seed`.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    std::iter::repeat_with(&mut next).flatten().take(len).collect()
}

/// Whether both folders hold the same files.
pub fn is_same_tree(a: &Path, b: &Path) -> bool {
    let list = |root: &Path| {
        let mut files = std::collections::BTreeMap::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(root).unwrap().to_owned();
                    files.insert(name, std::fs::read(path).unwrap());
                }
            }
        }
        files
    };
    list(a) == list(b)
}
