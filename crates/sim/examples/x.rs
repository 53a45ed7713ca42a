//! Throw-away.
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let (from, to): (u64, u64) = (a[2].parse().unwrap(), a[3].parse().unwrap());
    for seed in from..to {
        match unchoke_sim::scenarios::run(&a[1], seed, None) {
            Ok(r) => println!("{seed} ok {:?}", r.figures),
            Err(e) => println!("{seed} FAIL {e}"),
        }
    }
}
