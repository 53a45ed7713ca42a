//! The notes' exchanges, byte for byte and over many seeds.

use unchoke_engine::input::Discovery;
use unchoke_engine::output::TraceMessage;
use unchoke_sim::swarm::{self, Content};
use unchoke_sim::{HostId, HostSettings, What, World};
use unchoke_wire::time::Duration;
use unchoke_wire::{Bitfield, HostPort};

/// The peer messages a host sent to and got from another, as text.
fn talk(world: &World, host: HostId, other: HostId) -> Vec<String> {
    let ip = world.host(other).ip;
    let entries = world.log().entries().iter().filter(|e| e.host == host);
    entries
        .filter_map(|e| match &e.what {
            What::Peer(t) if t.remote.ip() == ip => {
                let dir = if t.is_sent { ">" } else { "<" };
                Some(match &t.message {
                    TraceMessage::Handshake(_) => format!("{dir} handshake"),
                    TraceMessage::Message(b) => format!("{dir} {}", name(b)),
                })
            }
            _ => None,
        })
        .collect()
}

fn name(bytes: &[u8]) -> String {
    use unchoke_wire::message::{Message, parse_piece_header};
    if let Ok(Some(block)) = parse_piece_header(bytes) {
        if bytes.get(4) == Some(&7) {
            return format!("piece {} {}", block.piece.0, block.begin);
        }
    }
    match Message::parse(bytes) {
        Ok(Some((Message::Have(p), _))) => format!("have {}", p.0),
        Ok(Some((Message::Bitfield(b), _))) => format!("bitfield {b:02x?}"),
        Ok(Some((Message::Request(r), _))) => format!("request {} {}", r.piece.0, r.begin),
        Ok(Some((Message::Extended { id, .. }, _))) => format!("extended {id}"),
        Ok(Some((m, _))) => format!("{m:?}").to_lowercase(),
        other => format!("{other:?}"),
    }
}

#[test]
fn debug_print() {
    let mut world = World::new(1, true);
    let a = world.add_host(HostSettings::default());
    let a_ip = world.host(a).ip;
    let nodes = vec![HostPort::new(&a_ip.to_string(), 6881).unwrap()];
    let content = Content::three_pieces(nodes);
    let b = world.add_host(HostSettings::default());
    let c = world.add_host(HostSettings::default());
    let quiet = Discovery { dial: false, ..Discovery::default() };
    swarm::add(&mut world, b, &content, Bitfield::all(3), quiet);
    let mut two = Bitfield::all(3);
    two.clear(unchoke_wire::PieceIndex(2));
    swarm::add(&mut world, c, &content, two, quiet);
    let end = world.now() + Duration::from_secs(10);
    world.run_until(end);
    swarm::add(&mut world, a, &content, Bitfield::none(3), Discovery::default());
    let ok = world.run_while(Duration::from_secs(60), |w| {
        swarm::is_complete(w.log(), a) && swarm::is_complete(w.log(), c)
    });
    for e in world.log().entries() {
        if let What::Event(ev) = &e.what {
            eprintln!("{:?} {:?} {ev:?}", e.at, e.host);
        }
        if let What::Hub(ev) = &e.what {
            eprintln!("{:?} {:?} {ev:?}", e.at, e.host);
        }
    }
    eprintln!("A-B {:#?}", talk(&world, a, b));
    eprintln!("A-C {:#?}", talk(&world, a, c));
    assert!(ok);
}
