//! The published answers of FIPS 180, through the batch and through the streams.

use unchoke_hash::{Sha1Stream, Sha256Stream, sha1_batch, sha256_batch};

const TWO_BLOCKS: &[u8] = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
const THREE_BLOCKS: &[u8] = b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmn\
                              hijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn sha1_batch_gives_the_published_digests() {
    let million = vec![b'a'; 1_000_000];
    let inputs: [&[u8]; 5] = [b"", b"abc", TWO_BLOCKS, THREE_BLOCKS, &million];
    let mut digests = [[0; 20]; 5];
    sha1_batch(&inputs, &mut digests);
    assert_eq!(
        digests.map(|digest| hex(&digest)),
        [
            "da39a3ee5e6b4b0d3255bfef95601890afd80709",
            "a9993e364706816aba3e25717850c26c9cd0d89d",
            "84983e441c3bd26ebaae4aa1f95129e5e54670f1",
            "a49b2446a02c645bf419f995b67091253a04a259",
            "34aa973cd4c4daa4f61eeb2bdbad27316534016f",
        ]
    );
}

#[test]
fn sha256_batch_gives_the_published_digests() {
    let million = vec![b'a'; 1_000_000];
    let inputs: [&[u8]; 5] = [b"", b"abc", TWO_BLOCKS, THREE_BLOCKS, &million];
    let mut digests = [[0; 32]; 5];
    sha256_batch(&inputs, &mut digests);
    assert_eq!(
        digests.map(|digest| hex(&digest)),
        [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1",
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0",
        ]
    );
}

#[test]
fn streams_give_the_published_digests() {
    let mut sha1 = Sha1Stream::new();
    let mut sha256 = Sha256Stream::new();
    for part in [b"a", b"b", b"c"] {
        sha1.update(part);
        sha256.update(part);
    }
    assert_eq!(hex(&sha1.finish()), "a9993e364706816aba3e25717850c26c9cd0d89d");
    assert_eq!(hex(&sha256.finish()), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
