//! `unchoke dht get`: reads a value (BEP 44).

use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::json;
use unchoke_runtime::dht::{Command, Event};
use unchoke_wire::item::{Item, ItemKey};

use super::asker::{Asker, Heard, Open, Setup};
use super::value;
use crate::args::GetItemArgs;
use crate::describe::hex;
use crate::output;
use crate::output::lookup::Told;
use crate::units;

pub(super) fn run(args: &GetItemArgs) -> Result<ExitCode> {
    let salt = args.salt.clone().unwrap_or_default().into_bytes();
    let key = match (args.key, args.target) {
        (Some(key), _) => ItemKey::Mutable { key, salt },
        (None, Some(target)) => ItemKey::Immutable(target),
        (None, None) => unreachable!("the command line names one of both"),
    };
    let mut asker = Asker::start(Setup::lookup(&args.lookup))?;
    asker.join()?;
    let found = newest(&mut asker, &key)?;
    asker.tell().finish();
    let Some((item, copies)) = found else {
        match key {
            ItemKey::Immutable(target) => {
                bail!(
                    "nothing found at {target}; values go after two hours, and a signed one is found by --key"
                )
            }
            ItemKey::Mutable { key, .. } => {
                bail!("nothing found under the key {}; check the salt; values go after two hours", hex(&key))
            }
        }
    };
    tell(&mut asker, args, &item)?;
    let took = units::took(asker.elapsed());
    match &item {
        Item::Mutable(item) => {
            let from = units::count(copies, "node");
            asker.tell().say(format_args!("version {}, from {from} in {took}", item.seq));
        }
        // the first answer was enough
        Item::Immutable { .. } => asker.tell().say(format_args!("found in {took}")),
    }
    Ok(ExitCode::SUCCESS)
}

/// The newest item under `key`, and how many nodes had it; the first, where it cannot change.
///
/// # Errors
/// As [`Asker::hear`].
pub(super) fn newest(asker: &mut Asker, key: &ItemKey) -> Result<Option<(Item, usize)>> {
    asker.ask(Command::GetItem(key.clone()));
    let mut open = Open::new(asker.ready(), [key.clone()]);
    let mut best: Option<(Item, usize)> = None;
    while !open.is_empty() {
        match asker.hear()? {
            Heard::Event { event: Event::ItemFound { item, .. }, .. } if item.key() == *key => {
                take(&mut best, item, 1);
                if matches!(key, ItemKey::Immutable(_)) {
                    break;
                }
            }
            Heard::Event { is_v6, event: Event::ItemDone { key: of, item, copies } } if of == *key => {
                open.close(is_v6, of);
                if let Some(item) = item {
                    take(&mut best, item, copies);
                }
            }
            Heard::TimedOut => break,
            _ => {}
        }
    }
    Ok(best)
}

/// Keeps the newer of two items, and the greater count of one.
fn take(best: &mut Option<(Item, usize)>, item: Item, copies: usize) {
    let seq = |item: &Item| match item {
        Item::Immutable { .. } => 0,
        Item::Mutable(item) => item.seq,
    };
    match best {
        Some((old, n)) if *old == item => *n = copies.max(*n),
        Some((old, _)) if seq(old) >= seq(&item) => {}
        _ => *best = Some((item, copies)),
    }
}

fn tell(asker: &mut Asker, args: &GetItemArgs, item: &Item) -> Result<()> {
    let bencoded = item.value();
    if args.raw {
        let bytes = value::as_string(bencoded).unwrap_or_else(|| bencoded.to_vec());
        return output::bytes(&bytes);
    }
    if asker.tell().told() != Told::Json {
        return asker.tell().text(&value::text(bencoded));
    }
    let mut fields = json!({
        "target": item.key().target().to_string(),
        "value": value::json(bencoded),
        "bencoded": hex(bencoded),
    });
    if let Item::Mutable(item) = item {
        fields["key"] = hex(&item.key).into();
        fields["salt"] = hex(&item.salt).into();
        fields["seq"] = item.seq.into();
    }
    asker.tell().event("item", fields)
}
