//! How long things take in the codecs: `cargo bench -p unchoke-wire`.

mod cases;

use criterion::{Criterion, Throughput};

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for case in cases::all() {
        let (group, name) = case.name.split_once('/').expect("a case is named by its part first");
        let mut group = criterion.benchmark_group(group);
        group.throughput(Throughput::Elements(case.units));
        // the scene is made only for a case that runs
        let mut step = None;
        group.bench_function(name, |b| {
            let step = step.get_or_insert_with(case.scene);
            b.iter(step);
        });
    }
    criterion.final_summary();
}
