// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs every fuzz target without libFuzzer: over its kept corpus, then over mutations of it made by a
//! seeded generator, so that a failure repeats. `FUZZ_ROUNDS` sets how many mutations.

use std::path::{Path, PathBuf};
use std::{env, fs, panic};

use cms_fuzz::TARGETS;

#[test]
fn every_target_holds_on_its_corpus_and_mutations_of_it() {
    let asked: Option<u64> = env::var("FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok());
    for target in TARGETS {
        let rounds = asked.unwrap_or(target.rounds);
        let corpus = corpus(target.name);
        assert!(!corpus.is_empty(), "`fuzz/corpus/{}` is empty: put a few typical inputs there", target.name);
        for (file, input) in &corpus {
            check(target.name, target.run, input, &file.display().to_string());
        }
        for round in 0..rounds {
            let mut random = Random(round + 1);
            let input = mutate(&corpus, &mut random);
            check(target.name, target.run, &input, &format!("round {round}"));
        }
    }
}

#[test]
fn every_target_has_a_program_for_libfuzzer() {
    let manifest = fs::read_to_string(folder().join("Cargo.toml")).expect("the manifest");
    for target in TARGETS {
        let name = target.name;
        assert!(
            manifest.contains(&format!("name = \"{name}\" # fuzz target"))
                && folder().join(format!("bin/{name}.rs")).exists(),
            "`{name}` has no `fuzz/bin/{name}.rs`, or no `[[bin]]` for it in `fuzz/Cargo.toml`: libFuzzer would never run it"
        );
    }
}

fn check(target: &str, run: fn(&[u8]), input: &[u8], origin: &str) {
    if panic::catch_unwind(|| run(input)).is_err() {
        let kept = env::temp_dir().join(format!("fuzz-{target}-failure"));
        fs::write(&kept, input).expect("keep the input");
        panic!(
            "`{target}` fails on {origin}; the input is kept in {}: {}",
            kept.display(),
            input.escape_ascii()
        );
    }
}

fn folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn corpus(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = folder().join("corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    // The order of a directory differs between machines; the rounds shall not.
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read(&file).expect("a readable seed"))).collect()
}

/// Splices two seeds, then changes a few places.
fn mutate(corpus: &[(PathBuf, Vec<u8>)], random: &mut Random) -> Vec<u8> {
    let mut input = corpus[random.below(corpus.len())].1.clone();
    if random.below(4) == 0 {
        let other = &corpus[random.below(corpus.len())].1;
        input.truncate(random.below(input.len() + 1));
        input.extend_from_slice(&other[random.below(other.len() + 1)..]);
    }
    for _ in 0..=random.below(6) {
        let at = random.below(input.len() + 1);
        match random.below(5) {
            0 => input.truncate(at),
            1 => input.insert(at, INTERESTING[random.below(INTERESTING.len())]),
            2 if at < input.len() => input[at] ^= 1 << random.below(8),
            3 if at < input.len() => {
                input.remove(at);
            }
            _ => {
                let piece: Vec<u8> = input[at..].iter().take(1 + random.below(64)).copied().collect();
                input.splice(at..at, piece);
            }
        }
    }
    input.truncate(1 << 16);
    input
}

/// Bytes that mean something to the parsers behind the targets.
const INTERESTING: &[u8] = b"\0\x01\n\r\t \"'\\/.-_:{}[](),=%&?#@`~09azAZ\x7f\x80\xc0\xff";

/// Steele and Vigna's SplitMix64: enough to spread mutations, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((z ^ (z >> 31)) % bound as u64).unwrap_or(0)
    }
}
