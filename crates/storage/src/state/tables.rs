//! The tables of the store inside one database: schema, reading, and changes as one transaction.

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableHandle, WriteTransaction};
use unchoke_wire::WireHash;

use super::entry::TorrentEntry;
use super::{Listed, StateChange};
use crate::resume::{DecodeError, ResumeRecord};

/// A torrent's hash.
type Key = [u8; 20];
type Values = TableDefinition<'static, Key, &'static [u8]>;

/// Numbers about the database itself.
const META: TableDefinition<'static, &str, u64> = TableDefinition::new("meta");
/// [`TorrentEntry`] of every torrent.
const ENTRIES: Values = TableDefinition::new("entries");
/// The `.torrent` bytes.
const METAINFO: Values = TableDefinition::new("metainfo");
/// The newest [`ResumeRecord`].
const RECORDS: Values = TableDefinition::new("records");
/// The record before that.
const RECORDS_OLD: Values = TableDefinition::new("records_old");
/// What could not be used: the name of its table and its key, then its bytes.
const ASIDE: TableDefinition<'static, (&str, Key), &'static [u8]> = TableDefinition::new("aside");

const SCHEMA_KEY: &str = "schema";

/// Each step makes a database of the next schema from one of its own number; an empty one has number 0.
const STEPS: [Step; 1] = [make_tables];

/// Makes a database of one schema out of the one before.
type Step = fn(&WriteTransaction) -> Result<(), redb::Error>;

/// The schema this program writes.
pub(super) const SCHEMA: u32 = 1;
const _: () = assert!(STEPS.len() == 1 && SCHEMA == 1, "a step for every schema");

/// What [`upgrade`] found.
pub(super) enum Schema {
    /// The schema of this program, perhaps since now.
    Current,
    /// A later one, of this number; nothing was touched.
    Newer(u32),
}

/// Brings a database to the schema of this program, in one transaction.
pub(super) fn upgrade(db: &Database) -> Result<Schema, redb::Error> {
    let found = schema(db)?;
    let txn = match found.cmp(&SCHEMA) {
        std::cmp::Ordering::Equal => return Ok(Schema::Current),
        std::cmp::Ordering::Greater => return Ok(Schema::Newer(found)),
        std::cmp::Ordering::Less => db.begin_write()?,
    };
    for (_, step) in (0u32..).zip(STEPS).filter(|(from, _)| *from >= found) {
        step(&txn)?;
    }
    txn.open_table(META)?.insert(SCHEMA_KEY, u64::from(SCHEMA))?;
    txn.commit()?;
    Ok(Schema::Current)
}

fn schema(db: &Database) -> Result<u32, redb::Error> {
    let meta = match db.begin_read()?.open_table(META) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(0),
        meta => meta?,
    };
    let number = meta.get(SCHEMA_KEY)?.map_or(0, |n| n.value());
    // a number no schema will ever have is that of a database from the far future
    Ok(u32::try_from(number).unwrap_or(u32::MAX))
}

fn make_tables(txn: &WriteTransaction) -> Result<(), redb::Error> {
    for table in [ENTRIES, METAINFO, RECORDS, RECORDS_OLD] {
        txn.open_table(table)?;
    }
    txn.open_table(ASIDE)?;
    Ok(())
}

/// All entries by their hash. Those that cannot be used are set aside, but for those of later versions, which stay.
pub(super) fn entries(db: &Database) -> Result<Vec<Listed>, redb::Error> {
    let mut found = Vec::new();
    for item in db.begin_read()?.open_table(ENTRIES)?.iter()? {
        let (key, value) = item?;
        let hash = WireHash(key.value());
        found.push((hash, TorrentEntry::decode(value.value(), hash)));
    }
    let damaged: Vec<Key> = found.iter().filter(|(_, e)| is_damaged(e)).map(|(hash, _)| hash.0).collect();
    set_aside(db, &damaged, ENTRIES)?;
    Ok(found)
}

/// The entry of one torrent, if it can be used.
pub(super) fn entry(db: &Database, hash: WireHash) -> Result<Option<TorrentEntry>, redb::Error> {
    let found = db.begin_read()?.open_table(ENTRIES)?.get(hash.0)?;
    Ok(found.and_then(|bytes| TorrentEntry::decode(bytes.value(), hash).ok()))
}

/// The newest good record, and what had to be set aside on the way to it. A record of a later version ends the search.
pub(super) fn record(db: &Database, hash: WireHash) -> Result<Found, redb::Error> {
    let mut found = Found::default();
    for table in [RECORDS, RECORDS_OLD] {
        let decoded = {
            let Some(bytes) = db.begin_read()?.open_table(table)?.get(hash.0)? else { continue };
            ResumeRecord::decode(bytes.value(), hash)
        };
        match decoded {
            Ok(record) => {
                found.record = Some(Ok(record));
                break;
            }
            Err(why @ DecodeError::FutureVersion { .. }) => {
                found.record = Some(Err(why));
                break;
            }
            Err(why) => {
                set_aside(db, &[hash.0], table)?;
                found.refused.push(why);
            }
        }
    }
    Ok(found)
}

/// What [`record`] found.
#[derive(Default)]
pub(super) struct Found {
    /// The newest good record, or that it is of a later version.
    pub(super) record: Option<Result<ResumeRecord, DecodeError>>,
    /// What was wrong with those before it.
    pub(super) refused: Vec<DecodeError>,
}

pub(super) fn metainfo(db: &Database, hash: WireHash) -> Result<Option<Vec<u8>>, redb::Error> {
    Ok(db.begin_read()?.open_table(METAINFO)?.get(hash.0)?.map(|bytes| bytes.value().to_vec()))
}

/// A change in bytes.
pub(super) enum Written<'c> {
    Entry(Key, Vec<u8>),
    Metainfo(Key, &'c [u8]),
    Record(Key, Vec<u8>),
    Remove(Key),
}

impl<'c> Written<'c> {
    pub(super) fn of(change: &'c StateChange) -> Self {
        match change {
            StateChange::Entry(hash, entry) => Written::Entry(hash.0, entry.encode()),
            StateChange::Metainfo(hash, bytes) => Written::Metainfo(hash.0, bytes),
            StateChange::Record(record) => Written::Record(record.info_hash.0, record.encode()),
            StateChange::Remove(hash) => Written::Remove(hash.0),
        }
    }
}

/// Makes all changes, in their order and in one transaction.
pub(super) fn commit(db: &Database, changes: &[Written<'_>]) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    {
        let mut entries = txn.open_table(ENTRIES)?;
        let mut metainfo = txn.open_table(METAINFO)?;
        let mut records = txn.open_table(RECORDS)?;
        let mut old = txn.open_table(RECORDS_OLD)?;
        for change in changes {
            match change {
                Written::Entry(key, bytes) => {
                    entries.insert(key, bytes.as_slice())?;
                }
                Written::Metainfo(key, bytes) => {
                    metainfo.insert(key, *bytes)?;
                }
                Written::Record(key, bytes) => {
                    if let Some(before) = records.insert(key, bytes.as_slice())? {
                        old.insert(key, before.value())?;
                    }
                }
                Written::Remove(key) => {
                    for table in [&mut entries, &mut metainfo, &mut records, &mut old] {
                        table.remove(key)?;
                    }
                }
            }
        }
    }
    txn.commit()?;
    Ok(())
}

fn set_aside(db: &Database, keys: &[Key], from: Values) -> Result<(), redb::Error> {
    if keys.is_empty() {
        return Ok(());
    }
    let txn = db.begin_write()?;
    {
        let mut table = txn.open_table(from)?;
        let mut aside = txn.open_table(ASIDE)?;
        for key in keys {
            if let Some(bytes) = table.remove(key)? {
                aside.insert((from.name(), *key), bytes.value())?;
            }
        }
    }
    txn.commit()?;
    Ok(())
}

fn is_damaged(entry: &Result<TorrentEntry, DecodeError>) -> bool {
    !matches!(entry, Ok(_) | Err(DecodeError::FutureVersion { .. }))
}
