//! What the parts of a comparison share: the payloads in memory, the contenders, and the turns they take.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tempfile::TempDir;

use super::results::{Row, Run};
use crate::clients::libtorrent::Libtorrent;
use crate::clients::unchoke::Unchoke;
use crate::fixtures::{Payload, Rng};
use crate::netns::Host;

/// Bytes in a GiB.
pub(super) const GIB: f64 = 1_073_741_824.0;
/// Files of the payload of small files, and bytes of each.
const SMALL_FILES: usize = 10_000;
const SMALL_FILE_LEN: usize = 100 << 10;

/// A contender that needs longer has no more runs.
const PATIENCE: Duration = Duration::from_secs(60);

/// One sitting.
pub(super) struct Bench {
    pub(super) unchoke: Unchoke,
    pub(super) libtorrent: Libtorrent,
    /// Where all clients are.
    pub(super) host: Host,
    pub(super) runs: usize,
    size: usize,
    dir: TempDir,
}

/// One who does the work.
pub(super) struct Contender<'a> {
    pub(super) name: String,
    /// Why it takes no part, if so.
    pub(super) lacks: Option<String>,
    /// As many runs as are asked for, or one for what takes long and varies little.
    pub(super) once: bool,
    pub(super) run: Box<dyn Fn() -> Result<Run> + 'a>,
}

impl<'a> Contender<'a> {
    pub(super) fn new(name: impl Into<String>, run: impl Fn() -> Result<Run> + 'a) -> Self {
        Self { name: name.into(), lacks: None, once: false, run: Box::new(run) }
    }

    /// One that has nothing to run.
    pub(super) fn absent(name: impl Into<String>, why: &str) -> Self {
        Self { lacks: Some(why.to_owned()), ..Self::new(name, || Ok(Run::new())) }
    }

    /// One that takes no part when `missing` names something.
    pub(super) fn unless(self, missing: Option<String>) -> Self {
        Self { lacks: missing.map(|what| format!("{what} is not installed")), ..self }
    }
}

impl Bench {
    /// Puts its files into memory where there is a memory file system.
    pub(super) fn new(unchoke: PathBuf, runs: usize, size_mib: usize, ip: Ipv4Addr) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let builder = &mut tempfile::Builder::new();
        builder.prefix("unchoke-compare-");
        let dir = if memory.is_dir() { builder.tempdir_in(memory)? } else { builder.tempdir()? };
        Ok(Self {
            unchoke: Unchoke { binary: unchoke, is_quiet: true },
            libtorrent: Libtorrent::new(dir.path())?.plain(),
            host: Host::at_ip(ip),
            runs,
            size: size_mib << 20,
            dir,
        })
    }

    /// A file in the folder of this sitting.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// What is moved, in words.
    pub(super) fn sizes(&self) -> String {
        let (large, small) = (self.size >> 20, self.small_file_count());
        format!("{large} MiB in one file, {small} files of 100 KiB; {} runs in turn", self.runs)
    }

    /// The one large file.
    pub(super) fn large(&self) -> Result<Payload> {
        self.file("large.bin", self.size)
    }

    /// As many bytes in one file as [`Bench::small_files`] has in many.
    pub(super) fn as_large_as_small_files(&self) -> Result<Payload> {
        self.file("medium.bin", self.small_file_count() * SMALL_FILE_LEN)
    }

    /// Many files of 100 KiB, a hundred a folder.
    pub(super) fn small_files(&self) -> Result<Payload> {
        let (name, count) = ("small files", self.small_file_count());
        let parent = self.path("payloads");
        if !parent.join(name).exists() {
            let mut rng = Rng::new(3);
            for file in 0..count {
                let dir = parent.join(name).join(format!("{:03}", file / 100));
                fs::create_dir_all(&dir)?;
                fs::write(dir.join(format!("{file:05}.bin")), rng.bytes(SMALL_FILE_LEN))?;
            }
        }
        payload(name, parent, count * SMALL_FILE_LEN)
    }

    fn small_file_count(&self) -> usize {
        SMALL_FILES.min(self.size / SMALL_FILE_LEN)
    }

    fn file(&self, name: &'static str, len: usize) -> Result<Payload> {
        let parent = self.path("payloads");
        fs::create_dir_all(&parent)?;
        if !parent.join(name).exists() {
            let (mut file, mut rng, mut left) = (fs::File::create(parent.join(name))?, Rng::new(2), len);
            while left > 0 {
                let count = left.min(1 << 20);
                file.write_all(&rng.bytes(count))?;
                left -= count;
            }
        }
        payload(name, parent, len)
    }

    /// The torrent of a payload, made by us; announced nowhere.
    pub(super) fn torrent(&self, payload: &Payload) -> Result<PathBuf> {
        let path = self.path(&format!("{}-{}.torrent", payload.name, payload.piece_length));
        if !path.exists() {
            self.unchoke.create(payload, &path, &[]).context("create a torrent")?;
        }
        Ok(path)
    }

    /// Has each contender run in turn, first to last, as many times as are asked for; one that took too long is not
    /// waited for again.
    pub(super) fn in_turn(&self, contenders: Vec<Contender<'_>>) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for contender in &contenders {
            if let Some(why) = &contender.lacks {
                println!("  {:<32} skipped: {why}", contender.name);
            }
            rows.push(Row { name: contender.name.clone(), runs: Vec::new(), lacks: contender.lacks.clone() });
        }
        for turn in 0..self.runs {
            for (contender, row) in contenders.iter().zip(&mut rows) {
                if row.lacks.is_some() || contender.once && turn > 0 {
                    continue;
                }
                let (load, begin) = (load(), Instant::now());
                match (contender.run)() {
                    Ok(mut run) => {
                        run.insert("load".to_owned(), load);
                        println!("  {:<32} {}", contender.name, as_line(&run));
                        row.runs.push(run);
                        if begin.elapsed() > PATIENCE && turn + 1 < self.runs {
                            row.lacks = Some(format!("a run took more than {} s", PATIENCE.as_secs()));
                        }
                    }
                    Err(error) => {
                        println!("  {:<32} FAILED: {error:#}", contender.name);
                        row.lacks = Some(format!("failed: {error:#}"));
                    }
                }
            }
        }
        rows
    }
}

/// A payload in pieces of 1 MiB.
fn payload(name: &'static str, parent: PathBuf, len: usize) -> Result<Payload> {
    Ok(Payload { label: name, name, parent, piece_length: 1 << 20, size: u64::try_from(len)? })
}

/// The size of a payload in GiB.
pub(super) fn gib(payload: &Payload) -> f64 {
    let mib = u32::try_from(payload.size >> 10).expect("a payload in memory has less than 4 TiB");
    f64::from(mib) / f64::from(1 << 20)
}

/// A program of `limit`, as another process.
pub(super) fn limit<'a>(args: impl IntoIterator<Item = &'a str>) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("limit").args(args);
    Ok(command)
}

/// The numbers of a JSON object in the last line that is one.
pub(super) fn figures(output: &str) -> Result<Run> {
    let objects = output.lines().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let Some(object) = objects.into_iter().find_map(|value| value.as_object().cloned()) else {
        bail!("no figures in what it printed: {output:?}");
    };
    Ok(object.into_iter().filter_map(|(name, value)| Some((name, value.as_f64()?))).collect())
}

fn as_line(run: &Run) -> String {
    let figures = run.iter().map(|(name, value)| format!("{name} {value:.3}"));
    figures.collect::<Vec<_>>().join(", ")
}

/// How many wanted to run in the last minute, by the kernel's count; 0 where it tells none.
fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(0.0)
}

/// Measures by their names.
pub(super) fn run_of<const N: usize>(measures: [(&str, f64); N]) -> Run {
    BTreeMap::from(measures.map(|(name, value)| (name.to_owned(), value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bench(runs: usize) -> Bench {
        Bench::new(PathBuf::from("none"), runs, 1, Ipv4Addr::LOCALHOST).unwrap()
    }

    #[test]
    fn contenders_run_in_turn_and_one_that_fails_is_out() {
        let order = std::cell::RefCell::new(Vec::new());
        let run = |name: &'static str| {
            let order = &order;
            move || {
                order.borrow_mut().push(name);
                if name == "bad" { bail!("no") } else { Ok(Run::new()) }
            }
        };
        let mut once = Contender::new("once", run("once"));
        once.once = true;
        let contenders = vec![
            Contender::new("a", run("a")),
            Contender::new("bad", run("bad")),
            Contender::new("gone", run("gone")).unless(Some("gone".to_owned())),
            once,
        ];
        let rows = bench(2).in_turn(contenders);
        assert_eq!(*order.borrow(), ["a", "bad", "once", "a"]);
        assert_eq!(rows.iter().map(|row| row.runs.len()).collect::<Vec<_>>(), [2, 0, 0, 1]);
        assert_eq!(rows[1].lacks.as_deref(), Some("failed: no"));
        assert_eq!(rows[2].lacks.as_deref(), Some("gone is not installed"));
        assert!(rows[0].runs[0].contains_key("load"));
    }

    #[test]
    fn payloads_have_the_size_they_say() {
        let bench = bench(1);
        let (large, small) = (bench.large().unwrap(), bench.small_files().unwrap());
        assert_eq!(fs::metadata(large.path()).unwrap().len(), 1 << 20);
        assert_eq!(small.size, 10 * 100 * 1024);
        assert_eq!(bench.as_large_as_small_files().unwrap().size, small.size);
        assert!((gib(&large) - 1.0 / 1024.0).abs() < 1e-9);
    }

    #[test]
    fn figures_are_in_the_last_object() {
        let run = figures("{\"cpu_s\":1}\n{\"cpu_s\":2,\"note\":\"x\"}\nend\n").unwrap();
        assert_eq!(run, run_of([("cpu_s", 2.0)]));
        assert!(figures("end\n").is_err());
    }
}
