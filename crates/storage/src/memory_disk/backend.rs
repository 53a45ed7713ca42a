//! A file of a disk in memory as the file of a database.

use std::io;

use redb::StorageBackend;

use super::OpenFile;

impl StorageBackend for OpenFile {
    fn len(&self) -> io::Result<u64> {
        Ok(OpenFile::len(self))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        OpenFile::set_len(self, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.sync_all();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.write_all_at(data, offset)
    }
}
