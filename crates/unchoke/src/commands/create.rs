//! `unchoke create`: makes a `.torrent` file of a file or a folder.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use unchoke_runtime::hashing::hash_pieces;
use unchoke_storage::{FileSpec, FileStorage, Options, Scan, Storage, StorageSpec, Symlinks, scan_tree};
use unchoke_wire::metainfo::build::{BuildFile, MetainfoBuilder, auto_piece_len};
use unchoke_wire::time::UnixTime;
use unchoke_wire::{Layout, Magnet, Metainfo, PieceIndex};

use crate::args::CreateArgs;
use crate::errors::{about, warn};
use crate::output::{self, json, progress};
use crate::units;

pub(super) fn run(args: &CreateArgs) -> Result<ExitCode> {
    let scan = scan(&args.path)?;
    let out = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}.torrent", scan.name)));
    check_output(&out, args.force, &scan)?;
    let layout = layout(args, &scan)?;
    if let Some(first) = scan.skipped.first() {
        let links = units::count(scan.skipped.len(), "symbolic link");
        warn(format_args!("left out {links}, the first is {}", first.display()));
    }
    let storage = FileStorage::open(&scan.parent, storage_spec(&scan, &layout), Options::default())?;
    let builder = builder(args, &scan, &layout, hash(&storage)?);
    let bytes =
        builder.build().with_context(|| format!("cannot make a torrent of {}", args.path.display()))?;
    let metainfo = Metainfo::parse(&bytes).expect("what the builder made is read by itself");
    warn_of_names(&builder, &metainfo);
    write_whole(&out, &bytes)?;
    print(&out, &metainfo)?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a tier of trackers: URLs with commas between them.
///
/// # Errors
/// One line when one of them is no tracker.
pub(crate) fn tracker_tier(text: &str) -> Result<Vec<String>, String> {
    let read = |url: &str| {
        let builder = MetainfoBuilder { trackers: vec![vec![url.to_owned()]], ..smallest() };
        let tiers = parsed(&builder).trackers;
        tiers.concat().pop().ok_or_else(|| format!("'{url}' is not an http, https or udp URL"))
    };
    text.split(',').map(read).collect()
}

/// Reads the URL of a web seed.
///
/// # Errors
/// One line when it is none.
pub(crate) fn web_seed(text: &str) -> Result<String, String> {
    let builder = MetainfoBuilder { web_seeds: vec![text.to_owned()], ..smallest() };
    parsed(&builder).web_seeds.pop().ok_or_else(|| format!("'{text}' is not an http or https URL"))
}

/// A torrent of one byte, in which URLs can be tried.
fn smallest() -> MetainfoBuilder {
    MetainfoBuilder {
        name: "a".to_owned(),
        files: vec![BuildFile { path: vec!["a".to_owned()], length: 1, ..BuildFile::default() }],
        piece_len: 16 << 10,
        pieces: vec![[0; 20]],
        ..MetainfoBuilder::default()
    }
}

fn parsed(builder: &MetainfoBuilder) -> Metainfo {
    let bytes = builder.build().expect("URLs that are none are left out, not refused");
    Metainfo::parse(&bytes).expect("what the builder made is read by itself")
}

/// Lists the files.
fn scan(path: &Path) -> Result<Scan> {
    // the storage's words are for files of a torrent; this one may never have been there
    fs::metadata(path).map_err(|e| about("read", path, &e))?;
    let scan = scan_tree(path, Symlinks::Skip)?;
    if scan.files.iter().all(|f| f.len == 0) {
        bail!("cannot make a torrent of {}: there are no bytes in it", path.display());
    }
    Ok(scan)
}

/// Finds out before hours of hashing whether the file can be written.
fn check_output(out: &Path, may_replace: bool, scan: &Scan) -> Result<()> {
    let folder = folder_of(out);
    let there = folder.canonicalize().map_err(|e| about("write to the folder", folder, &e))?;
    match fs::symlink_metadata(out) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {}
        Err(e) => return Err(about("write", out, &e)),
        Ok(meta) if meta.is_dir() => bail!("cannot write {}: it is a folder", out.display()),
        Ok(_) if !may_replace => {
            bail!("cannot write {}: it exists; choose another name or add --force", out.display())
        }
        Ok(_) => {
            let top = scan.parent.join(&scan.name);
            let target = there.join(out.file_name().unwrap_or_default());
            if target.starts_with(&top) {
                bail!("cannot write {}: it is itself one of the files; choose another place", out.display());
            }
        }
    }
    let temp = temp_path(out);
    File::create(&temp).map_err(|e| about("write", out, &e))?;
    fs::remove_file(&temp).map_err(|e| about("write", out, &e))
}

fn layout(args: &CreateArgs, scan: &Scan) -> Result<Layout> {
    let total = scan.files.iter().map(|f| f.len).sum();
    let piece_len = args.piece_length.unwrap_or_else(|| auto_piece_len(total));
    Layout::new(piece_len, scan.files.iter().map(|f| f.len)).map_err(|e| {
        anyhow::anyhow!(
            "cannot make a torrent of {}: {e}; choose a larger --piece-length",
            args.path.display()
        )
    })
}

fn storage_spec(scan: &Scan, layout: &Layout) -> StorageSpec {
    let file = |f: &unchoke_storage::ScannedFile| FileSpec {
        path: std::iter::once(&scan.name).chain(&f.path).cloned().collect(),
        len: f.len,
        ..FileSpec::default()
    };
    StorageSpec { layout: layout.clone(), files: scan.files.iter().map(file).collect() }
}

/// The hashes of all pieces, of files that stay as they are meanwhile.
fn hash(storage: &FileStorage) -> Result<Vec<[u8; 20]>> {
    let before = storage.facts();
    let bar = progress::bar("hashing", storage.spec().layout.total_len());
    let pieces: Vec<PieceIndex> = storage.spec().layout.pieces().collect();
    let hashes = hash_pieces(storage, &pieces, &|n| bar.inc(n), &AtomicBool::new(false));
    bar.finish_and_clear();
    let hashes: Option<Vec<_>> = hashes?.into_iter().collect();
    let after = storage.facts();
    let changed = before.iter().zip(&after).position(|(before, after)| before != after);
    match (hashes, changed) {
        (Some(hashes), None) => Ok(hashes),
        (_, changed) => {
            let file = &storage.spec().files[changed.unwrap_or_default()];
            let path = storage.root().join(file.path.join("/"));
            bail!("{} changed while it was read; leave it alone and try again", path.display())
        }
    }
}

fn builder(args: &CreateArgs, scan: &Scan, layout: &Layout, pieces: Vec<[u8; 20]>) -> MetainfoBuilder {
    let file = |f: &unchoke_storage::ScannedFile| BuildFile {
        path: f.path.clone(),
        length: f.len,
        is_executable: f.is_executable,
        ..BuildFile::default()
    };
    let is_multi_file = !scan.is_single;
    let web_seed = |url: &String| {
        // a folder is asked for by a URL that ends like one
        if is_multi_file && !url.ends_with('/') { format!("{url}/") } else { url.clone() }
    };
    MetainfoBuilder {
        name: scan.name.clone(),
        files: scan.files.iter().map(file).collect(),
        is_multi_file,
        piece_len: layout.piece_len(),
        pieces,
        trackers: args.trackers.clone(),
        nodes: args.nodes.clone(),
        web_seeds: args.web_seeds.iter().map(web_seed).collect(),
        private: args.private,
        source: args.source.clone(),
        comment: args.comment.clone(),
        created_by: Some(format!("Unchoke {}", env!("CARGO_PKG_VERSION"))),
        creation_date: (!args.no_date).then(unix_time),
    }
}

fn unix_time() -> UnixTime {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixTime(i64::try_from(since.as_secs()).unwrap_or_default())
}

/// Names that other systems could not take are changed by every reader, us among them: then the files here do not fit.
fn warn_of_names(builder: &MetainfoBuilder, metainfo: &Metainfo) {
    let asked =
        |f: &BuildFile| -> Vec<String> { std::iter::once(&builder.name).chain(&f.path).cloned().collect() };
    let pairs = builder.files.iter().map(asked).zip(&metainfo.info.files);
    for (asked, read) in pairs.filter(|(asked, read)| *asked != read.path) {
        let (asked, read) = (asked.join("/"), read.display_path());
        warn(format_args!(
            "not every system takes the name {asked}: downloaders will get {read}, and so it cannot be seeded from here; \
             rename it and create the torrent again"
        ));
    }
}

/// Writes the whole file or nothing.
fn write_whole(out: &Path, bytes: &[u8]) -> Result<()> {
    let temp = temp_path(out);
    let write = || -> io::Result<()> {
        let mut file = File::create(&temp)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temp, out)
    };
    write().map_err(|e| {
        // it may never have been made
        let _ = fs::remove_file(&temp);
        about("write", out, &e)
    })
}

fn temp_path(out: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(out.file_name().unwrap_or_default());
    name.push(format!(".{}.tmp", std::process::id()));
    folder_of(out).join(name)
}

fn folder_of(out: &Path) -> &Path {
    out.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn print(out: &Path, metainfo: &Metainfo) -> Result<()> {
    let info = &metainfo.info;
    let layout = &info.layout;
    let (size, piece_len) = (units::bytes(layout.total_len()), units::bytes(u64::from(layout.piece_len())));
    let files = units::count(info.files.len(), "file");
    let pieces = units::count(layout.piece_count(), "piece");
    output::line(format_args!("{}: {files}, {size}, {pieces} of {piece_len}", out.display()))?;
    output::line(format_args!("info-hash: {}", json::hashes(&metainfo.info_hashes).0.unwrap_or_default()))?;
    output::line(format_args!("magnet: {}", Magnet::from(metainfo)))
}
