//! The file system that torrents and state are kept on: the machine's, or one in memory that can be crashed. Everything
//! that changes files goes through here, so that a crash can be tried after each change.

mod moves;
mod open;
mod paths;

use crate::memory_disk::MemoryDisk;
pub(crate) use moves::{Beneath, copy_link, copy_looks, create_new, link_new, link_target, rename_new};
pub(crate) use open::{
    Dir, File, Locked, Lookup, allocate, create_file, data_from, drop_cache, facts_of, file_system,
    folder_id, is_in_memory, make_executable, make_link, open_dir, open_file, open_root, open_to_check,
    read_at, read_now, remove_dir, remove_file, sync_dir, try_lock, will_need, write_at,
};
pub(crate) use paths::How;

/// Where files are: by default in the machine's file system.
#[derive(Clone, Debug, Default)]
pub struct Volume(Option<MemoryDisk>);

impl From<&MemoryDisk> for Volume {
    fn from(disk: &MemoryDisk) -> Self {
        Volume(Some(disk.clone()))
    }
}
