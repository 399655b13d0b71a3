// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Verifies a chain of certificates, with webpki: the first is trusted, the last is verified, and those
//! between may lead from one to the other.

use std::time::Duration;

use regorus::Value;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter, anchor_from_trusted_cert};

use super::super::{Failure, Outcome, array_of, mismatch, text};
use super::{certificate, certificates, parse_x509_certificate};
use crate::clock::{Clock, SystemClock};

/// What a chain must be good for.
struct Demands {
    name: Option<String>,
    time: UnixTime,
    uses: Uses,
}

/// Verifies a chain for a server, now.
pub(in super::super) fn parse_and_verify_certificates(arguments: &[Value]) -> Outcome {
    verified(text(arguments, 0)?, &Demands { name: None, time: now(), uses: Uses(vec![SERVER_AUTH]) })
}

/// Verifies a chain for a name, a time and uses that are given.
pub(in super::super) fn parse_and_verify_certificates_with_options(arguments: &[Value]) -> Outcome {
    let Some(Value::Object(options)) = arguments.get(1) else { return Err(mismatch(arguments, 1, "object")) };
    let mut demands = Demands { name: None, time: now(), uses: Uses(vec![SERVER_AUTH]) };
    for (option, value) in options.iter() {
        let option = option.as_string().map(|option| option.to_string()).unwrap_or_default();
        let wrong = || Failure::Failed(format!("invalid value of the option `{option}`"));
        match option.as_str() {
            "DNSName" => demands.name = Some(value.as_string().map_err(|_| wrong())?.to_string()),
            "CurrentTime" => {
                let nanos =
                    value.as_i64().ok().and_then(|nanos| u64::try_from(nanos).ok()).ok_or_else(wrong)?;
                demands.time = UnixTime::since_unix_epoch(Duration::from_nanos(nanos));
            }
            // The library bounds its comparisons itself.
            "MaxConstraintComparisons" => drop(value.as_i64().map_err(|_| wrong())?),
            "KeyUsages" => demands.uses = Uses::read(value).ok_or_else(wrong)?,
            _ => return Err(format!("invalid key option `{option}`").into()),
        }
    }
    verified(text(arguments, 0)?, &demands)
}

fn verified(text: &str, demands: &Demands) -> Outcome {
    let refused = || Value::from(vec![Value::from(false), Value::new_array()]);
    let Ok(given) = certificates(text) else { return Ok(refused()) };
    let ders: Vec<CertificateDer<'_>> =
        given.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
    let [root, between @ .., leaf] = ders.as_slice() else { return Ok(refused()) };
    let Some(chain) = chain(root, between, leaf, demands) else { return Ok(refused()) };
    let fields = chain.iter().map(|der| certificate::fields(der)).collect::<Result<Vec<_>, _>>()?;
    Ok(Value::from(vec![Value::from(true), array_of(fields.into_iter())]))
}

/// The chain, from the certificate that is verified to the one that is trusted.
fn chain(
    root: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    leaf: &CertificateDer<'_>,
    demands: &Demands,
) -> Option<Vec<Vec<u8>>> {
    if root == leaf {
        // What is trusted needs no path, only to be of its time.
        let (_, certificate) = parse_x509_certificate(root).ok()?;
        let time = i64::try_from(demands.time.as_secs()).ok()?;
        let validity = certificate.validity();
        let is_valid = validity.not_before.timestamp() <= time && time <= validity.not_after.timestamp();
        return (is_valid && demands.name.is_none()).then(|| vec![root.to_vec()]);
    }
    let anchors = [anchor_from_trusted_cert(root).ok()?];
    let end = EndEntityCert::try_from(leaf).ok()?;
    let path = end
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            between,
            demands.time,
            &demands.uses,
            None,
            None,
        )
        .ok()?;
    if let Some(name) = &demands.name {
        end.verify_is_valid_for_subject_name(&ServerName::try_from(name.as_str()).ok()?).ok()?;
    }
    let used = path.intermediate_certificates().map(|certificate| certificate.der().to_vec());
    Some(std::iter::once(leaf.to_vec()).chain(used).chain([root.to_vec()]).collect())
}

/// Uses of which one is enough; none means any.
struct Uses(Vec<&'static [usize]>);

const SERVER_AUTH: &[usize] = &[1, 3, 6, 1, 5, 5, 7, 3, 1];

impl Uses {
    fn read(value: &Value) -> Option<Self> {
        let mut uses = Vec::new();
        for name in value.as_array().ok()?.iter() {
            uses.push(match name.as_string().ok()?.as_ref() {
                "KeyUsageAny" => return Some(Self(Vec::new())),
                "KeyUsageServerAuth" => SERVER_AUTH,
                "KeyUsageClientAuth" => &[1, 3, 6, 1, 5, 5, 7, 3, 2],
                "KeyUsageCodeSigning" => &[1, 3, 6, 1, 5, 5, 7, 3, 3],
                "KeyUsageEmailProtection" => &[1, 3, 6, 1, 5, 5, 7, 3, 4],
                "KeyUsageIPSECEndSystem" => &[1, 3, 6, 1, 5, 5, 7, 3, 5],
                "KeyUsageIPSECTunnel" => &[1, 3, 6, 1, 5, 5, 7, 3, 6],
                "KeyUsageIPSECUser" => &[1, 3, 6, 1, 5, 5, 7, 3, 7],
                "KeyUsageTimeStamping" => &[1, 3, 6, 1, 5, 5, 7, 3, 8],
                "KeyUsageOCSPSigning" => &[1, 3, 6, 1, 5, 5, 7, 3, 9],
                _ => return None,
            });
        }
        Some(Self(uses))
    }
}

impl ExtendedKeyUsageValidator for &Uses {
    fn validate(&self, given: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut count = 0;
        for purpose in given {
            let purpose = purpose?.to_decoded_oid();
            count += 1;
            if purpose == [2, 5, 29, 37, 0] || self.0.iter().any(|wanted| purpose == *wanted) {
                return Ok(());
            }
        }
        // A certificate that names no use is good for all.
        if count == 0 { Ok(()) } else { Err(Error::UnknownIssuer) }
    }
}

fn now() -> UnixTime {
    let millis = u64::try_from(SystemClock.now().as_millis()).unwrap_or_default();
    UnixTime::since_unix_epoch(Duration::from_millis(millis))
}
