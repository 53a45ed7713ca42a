//! A process that runs out of descriptors goes on, and takes connections again once it has some. The only test of its
//! process, as the limit is the process's.

mod support;

use std::fs::File;
use std::io::{Read, Write};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use socket2::{Domain, Socket, Type};
use support::{Fixture, PATIENCE, greet, handshake, quiet, start};

//= H3b-8
#[test]
fn without_descriptors_connections_are_refused_one_by_one_and_taken_again_afterwards() {
    let few = Rlimit { current: Some(160), maximum: Some(160) };
    setrlimit(Resource::Nofile, few).unwrap();
    let fixture = Fixture::small(31);
    let session = start(quiet());
    fixture.seed(&session);
    assert_eq!(getrlimit(Resource::Nofile).current, Some(160));
    let sockets: Vec<Socket> =
        (0..8).map(|_| Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()).collect();
    let files: Vec<File> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    assert!(!files.is_empty());
    for mut socket in sockets {
        socket.connect(&session.local_addr().into()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // it may be gone already
        let _ = socket.write_all(&handshake(fixture.hash()));
        let answer = socket.read(&mut [0; 68]);
        let is_refused = match &answer {
            Ok(len) => *len == 0,
            Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
        };
        assert!(is_refused, "{answer:?}");
        // the descriptor it leaves is taken, too
        std::mem::forget(socket);
    }
    drop(files);
    greet(session.local_addr(), fixture.hash());
}
