//! Fuzz targets: functions that take any bytes and assert what must hold for all of them.
//!
//! A new target is a function in the folder of its kind, its line in [`TARGETS`] and a folder of seeds in `corpus/`; a
//! test says which of them is missing. `README.md` tells how to run them.

mod control;
mod decode;
mod differential;
mod machines;
mod paths;
mod steps;
mod storage;
mod wire;

/// A target: takes any bytes, panics when the code under test is wrong.
pub type Target = fn(&[u8]);

/// Every target with its name, which is also that of its corpus folder.
pub const TARGETS: &[(&str, Target)] = &[
    ("allowed_fast", differential::layout::allowed_fast),
    ("announcer", machines::announcer::announcer),
    ("bencode", decode::files::bencode),
    ("bencode_reference", differential::bencode::bencode_reference),
    ("bitfield", decode::peers::bitfield),
    ("bitfield_model", wire::bitfield_model),
    ("blame", machines::peer_list::blame),
    ("choker", machines::choker::choker),
    ("command_words", control::command_words),
    ("compact", decode::services::compact),
    ("dht_file", storage::dht_file),
    ("dht_node", machines::dht_node::dht_node),
    ("engine_asleep", machines::engine::engine_asleep),
    ("engine_leech", machines::engine::engine_leech),
    ("engine_magnet", machines::engine::engine_magnet),
    ("engine_seed", machines::engine::engine_seed),
    ("engine_split", machines::split::engine_split),
    ("extension_handshake", decode::peers::extension_handshake),
    ("extension_ids", wire::extension_ids),
    ("file_names", storage::file_names),
    ("file_storage", storage::model::file_storage),
    ("handshake", decode::peers::handshake),
    ("hash", differential::hash::hash),
    ("host_port", decode::text::host_port),
    ("http_tracker_reply", decode::services::http_tracker_reply),
    ("hub", machines::hub::hub),
    ("info_hash", differential::bencode::info_hash),
    ("item", decode::text::item),
    ("krpc", decode::services::krpc),
    ("layout", differential::layout::layout),
    ("lsd", decode::services::lsd),
    ("lsd_machine", machines::lsd::lsd_machine),
    ("lt_donthave", decode::peers::lt_donthave),
    ("magnet", decode::files::magnet),
    ("magnet_build", decode::build::magnet_build),
    ("magnet_select", differential::layout::magnet_select),
    ("message", decode::peers::message),
    ("message_stream", wire::message_stream),
    ("metadata_exchange", wire::metadata_exchange),
    ("metainfo", decode::files::metainfo),
    ("metainfo_build", decode::build::metainfo_build),
    ("name_component", paths::name_component),
    ("name_tree", paths::name_tree),
    ("peer_id", decode::peers::peer_id),
    ("peer_list", machines::peer_list::peer_list),
    ("picker", machines::picker::picker),
    ("resume_record", storage::resume_record),
    ("resume_store", storage::resume_store),
    ("scope", decode::text::scope),
    ("scrape_reply", decode::services::scrape_reply),
    ("state_entry", storage::state_entry),
    ("state_store", storage::state_store),
    ("symlinks", paths::symlinks),
    ("text_fields", paths::text_fields),
    ("tracker_url", decode::text::tracker_url),
    ("udp_tracker_reply", decode::services::udp_tracker_reply),
    ("udp_tracker_request", decode::services::udp_tracker_request),
    ("upload_only", decode::peers::upload_only),
    ("ut_metadata", decode::peers::ut_metadata),
    ("ut_pex", decode::peers::ut_pex),
];

/// The target of this name.
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
