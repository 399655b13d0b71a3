// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Settings: where they come from, which of them wins, and what errors say.

use super::*;

const SAMPLE: &str = include_str!("../sample.toml");

fn load(text: &str, variables: &[(&str, &str)]) -> Result<Settings, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("cms.toml");
    std::fs::write(&path, text).unwrap();
    let variable =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    Settings::load(Some(&path), variable).map_err(|error| error.to_string())
}

const LEAST: &str = "store = \"memory:\"\n[seal]\nkey_file = \"/k\"\n";

#[test]
fn the_sample_names_every_key_and_can_be_used() {
    let settings = load(SAMPLE, &[]).unwrap();
    settings.check().unwrap();
    // Commented keys count: a sample is there to be read.
    let plain = SAMPLE.replace("# ", "").replace('#', "");
    for (_, name, _) in KEYS {
        assert!(
            plain.lines().any(|line| line.starts_with(&format!("{name} ="))),
            "`{name}` is missing from sample.toml"
        );
    }
}

#[test]
fn variables_win_over_the_file() {
    let settings = load(
        LEAST,
        &[
            ("CMS_STORE", "embedded:/x"),
            ("CMS_LIMITS_IN_FLIGHT", "7"),
            ("CMS_PROXY_TRUSTED", "10.0.0.0/8, 192.0.2.1"),
        ],
    )
    .unwrap();
    let checked = settings.check().unwrap();
    assert_eq!((checked.store.url.as_str(), checked.options.in_flight), ("embedded:/x", 7));
    assert_eq!(checked.options.trusted_proxies.len(), 2);
    assert_eq!(checked.listen.to_string(), DEFAULT_LISTEN);
}

#[test]
fn the_client_variables_are_none_of_the_servers_business() {
    assert!(load(LEAST, &[("CMS_ADDR", "http://x"), ("CMS_TOKEN", "t")]).is_ok());
}

#[test]
fn errors_name_the_key_and_what_to_write() {
    let file = |text: &str| load(text, &[]).unwrap_err();
    assert!(file("stoer = 1").contains("stoer"));
    assert!(file("[limits]\nin_flight = 0").contains("in_flight"));
    assert!(file("[limits]\nin_flight = \"many\"").contains("line 2"));
    assert!(load(LEAST, &[("CMS_LIMITS_IN_FLIGHT", "many")]).unwrap_err().contains("CMS_LIMITS_IN_FLIGHT"));

    let check = |text: &str| load(text, &[]).unwrap().check().unwrap_err().to_string();
    assert!(check("").contains("CMS_STORE") && check("").contains("--store"));
    assert!(check("store = \"memory:\"").contains("seal.key_file"));
    assert!(check(&format!("listen = \"here\"\n{LEAST}")).contains("`listen` is `here`"));
    assert!(check(&format!("{LEAST}[tls]\ncert = \"/c\"")).contains("tls.key"));
    assert!(check(&format!("{LEAST}key_env = \"K\"")).contains("only one"));
    assert!(check(&format!("{LEAST}[proxy]\ntrusted = [\"all\"]")).contains("proxy.trusted"));
    assert!(check(&format!("{LEAST}[log]\nfilter = \"a=b=c\"")).contains("log.filter"));
}

#[test]
fn the_token_for_metrics_comes_from_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("token");
    let text = format!("{LEAST}[metrics]\ntoken_file = \"{}\"", path.display());
    let check = || load(&text, &[]).unwrap().check();
    assert!(check().unwrap_err().to_string().contains("metrics.token_file"));
    std::fs::write(&path, "short\n").unwrap();
    assert!(check().unwrap_err().to_string().contains("16 printable"));
    std::fs::write(&path, "a-token-for-prometheus\n").unwrap();
    let options = check().unwrap().options;
    assert!(options.metrics_token.unwrap().is("a-token-for-prometheus") && options.local_operator);
}

#[test]
fn a_listener_for_opa_takes_an_address_and_an_environment() {
    let check = |text: &str| {
        let checked = load(&format!("{LEAST}{text}"), &[]).unwrap().check();
        checked.map(|checked| checked.opa).map_err(|error| error.to_string())
    };
    assert!(check("").unwrap().is_none());
    let place = check("[opa]\nlisten = \"127.0.0.1:8181\"\nenvironment = \"rag/prod\"").unwrap().unwrap();
    assert_eq!(
        (place.project.as_str(), place.environment.as_str(), place.listen.port()),
        ("rag", "prod", 8181)
    );
    for (wrong, named) in [
        ("[opa]\nlisten = \"127.0.0.1:8181\"", "--opa-environment"),
        ("[opa]\nenvironment = \"rag/prod\"", "--opa-listen"),
        ("[opa]\nlisten = \"8181\"\nenvironment = \"rag/prod\"", "opa.listen"),
        ("[opa]\nlisten = \"127.0.0.1:8181\"\nenvironment = \"rag\"", "opa.environment"),
        ("[opa]\nlisten = \"127.0.0.1:1\"\nenvironment = \"a/b\"\n[surfaces]\nopa = false", "surfaces.opa"),
    ] {
        let error = check(wrong).unwrap_err();
        assert!(error.contains(named), "{wrong}: {error}");
    }
}

#[test]
fn mails_take_a_server_a_sender_and_tls() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("password");
    std::fs::write(&path, "secret\n").unwrap();
    let with = |smtp: &str| load(&format!("{LEAST}[smtp]\n{smtp}"), &[]).unwrap().check();
    let refused = |smtp: &str| with(smtp).unwrap_err().to_string();
    assert!(with("").unwrap().smtp.is_none());
    let good =
        format!("host = \"mail.example.org\"\nfrom = \"a@b.c\"\nuser = \"u\"\npassword_file = {path:?}");
    let smtp = with(&good).unwrap().smtp.unwrap();
    assert_eq!(smtp.login.unwrap().1.expose(), "secret");
    assert!(refused("from = \"a@b.c\"").contains("`smtp.host` is not set"));
    assert!(refused("host = \"x\"").contains("`smtp.from` is not set"));
    assert!(refused("host = \"x\"\nfrom = \"nobody\"").contains("no mail address"));
    assert!(refused("host = \"x\"\nfrom = \"a@b.c\"\ntls = \"none\"").contains("`starttls` or `implicit`"));
    assert!(refused("host = \"x\"\nfrom = \"a@b.c\"\nuser = \"u\"").contains("smtp.password_file"));
    assert!(with("host = \"127.0.0.1\"\nfrom = \"a@b.c\"\ntls = \"none\"").is_ok());
}
