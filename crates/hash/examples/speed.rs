//! speed
use std::time::Instant;
fn main() {
    let b = vec![7u8; 1 << 20];
    let t = Instant::now();
    for _ in 0..128 {
        let mut s = unchoke_hash::Sha1Stream::new();
        s.update(&b);
        std::hint::black_box(s.finish());
    }
    let s1 = 0.125 / t.elapsed().as_secs_f64();
    let t = Instant::now();
    for _ in 0..128 {
        let mut s = unchoke_hash::Sha256Stream::new();
        s.update(&b);
        std::hint::black_box(s.finish());
    }
    println!("stream: sha1 {s1:.2} sha256 {:.2}", 0.125 / t.elapsed().as_secs_f64());

    for n in [1usize, 2, 4, 6, 8, 12, 16, 32] {
        let bufs: Vec<Vec<u8>> = (0..n).map(|i| vec![i as u8; (1 << 20) + i * 4160]).collect();
        let inputs: Vec<&[u8]> = bufs.iter().map(|b| &b[..1 << 20]).collect();
        let reps = 256 / n;
        let mut out = vec![[0; 20]; n];
        let t = Instant::now();
        for _ in 0..reps {
            unchoke_hash::sha1_batch(&inputs, &mut out);
        }
        let s1 = (n * reps) as f64 / 1024.0 / t.elapsed().as_secs_f64();
        let mut out = vec![[0; 32]; n];
        let t = Instant::now();
        for _ in 0..reps {
            unchoke_hash::sha256_batch(&inputs, &mut out);
        }
        let s2 = (n * reps) as f64 / 1024.0 / t.elapsed().as_secs_f64();
        println!("{n:3} inputs: sha1 {s1:.2} GiB/s  sha256 {s2:.2} GiB/s");
    }
}
