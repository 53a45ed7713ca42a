//! Certificates that prove nothing.

use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, GeneralSubtree,
    IsCa, KeyPair, KeyUsagePurpose, NameConstraints, SanType, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

type Issuer = CertifiedIssuer<'static, KeyPair>;

/// The authority that is trusted here, beside those of the system.
fn authority(change: impl FnOnce(&mut CertificateParams)) -> Issuer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "an authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    change(&mut params);
    Issuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// What a server shows: its chain, and the key it has.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

/// What `issuer` signs of this, changed.
fn signed(issuer: &Issuer, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Shown {
    let (mut params, key) = (params(names), KeyPair::generate().unwrap());
    change(&mut params);
    let chain = vec![params.signed_by(&key, issuer).unwrap().der().clone()];
    Shown { chain, key }
}

/// As `signed`, by an authority between, which `root` signed.
fn signed_between(root: &Issuer, change: impl FnOnce(&mut CertificateParams)) -> Shown {
    let (mut params, key) = (CertificateParams::default(), KeyPair::generate().unwrap());
    params.distinguished_name.push(DnType::CommonName, "one between");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    change(&mut params);
    let between = Issuer::signed_by(params, key, root).unwrap();
    let mut shown = signed(&between, &[NAME], |_| {});
    shown.chain.push(between.der().clone());
    shown
}

const NAME: &str = "t.swarm.example";

/// Each with its name; the first four are good.
fn shown(root: &Issuer) -> Vec<(&'static str, Shown)> {
    let past = |p: &mut CertificateParams| {
        (p.not_before, p.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1));
    };
    let self_key = KeyPair::generate().unwrap();
    let self_signed = params(&[NAME]).self_signed(&self_key).unwrap().der().clone();
    let mut flipped = signed(root, &[NAME], |_| {});
    let mut der = flipped.chain[0].to_vec();
    *der.last_mut().unwrap() ^= 1;
    flipped.chain[0] = CertificateDer::from(der);
    let mut other_key = signed(root, &[NAME], |_| {});
    other_key.key = KeyPair::generate().unwrap();
    let garbage =
        Shown { chain: vec![CertificateDer::from(vec![0x30; 300])], key: KeyPair::generate().unwrap() };
    let common_name = |p: &mut CertificateParams| p.distinguished_name.push(DnType::CommonName, NAME);
    let no_authority = |p: &mut CertificateParams| p.is_ca = IsCa::ExplicitNoCa;
    let elsewhere = |p: &mut CertificateParams| {
        let permitted_subtrees = vec![GeneralSubtree::DnsName("other.example".to_owned())];
        p.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    };
    let address = |p: &mut CertificateParams| {
        p.subject_alt_names = vec![SanType::IpAddress(IpAddr::from([127, 0, 0, 1]))];
    };
    let client = |p: &mut CertificateParams| {
        p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    };
    vec![
        ("good", signed(root, &[NAME], |_| {})),
        ("good: one of several names", signed(root, &["other.example", NAME], |_| {})),
        ("good: any name of the domain", signed(root, &["*.swarm.example"], |_| {})),
        ("good: an authority between", signed_between(root, |_| {})),
        ("expired", signed(root, &[NAME], past)),
        ("not valid yet", signed(root, &[NAME], |p| p.not_before = date_time_ymd(3000, 1, 1))),
        ("of another host", signed(root, &["other.example"], |_| {})),
        ("of a domain above", signed(root, &["swarm.example"], |_| {})),
        ("of names one level down", signed(root, &["*.t.swarm.example"], |_| {})),
        ("of an address", signed(root, &[], address)),
        ("of no name but the subject's", signed(root, &[], common_name)),
        ("self-signed", Shown { chain: vec![self_signed], key: self_key }),
        ("of an authority that nobody trusts", signed(&authority(|_| {}), &[NAME], |_| {})),
        ("for clients", signed(root, &[NAME], client)),
        ("flipped in its signature", flipped),
        ("of somebody else's key", other_key),
        ("no certificate at all", garbage),
        ("by one that may not sign", signed_between(root, no_authority)),
        ("by one that is over", signed_between(root, past)),
        ("by one for other names", signed_between(root, elsewhere)),
    ]
}

/// Shows each certificate to one who connects, in turn, and answers a request with `hello`.
fn serve_shown(all: Vec<Shown>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    std::thread::spawn(move || {
        for Shown { chain, key } in all {
            let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
            let key = rustls::crypto::ring::sign::any_supported_type(&key).unwrap();
            let certified = Arc::new(rustls::sign::CertifiedKey::new(chain, key));
            let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
            let mut connection = rustls::ServerConnection::new(Arc::new(config)).unwrap();
            let (mut stream, _) = listener.accept().unwrap();
            let mut tls = rustls::Stream::new(&mut connection, &mut stream);
            if !head_of(&mut tls).is_empty() {
                tls.write_all(&ok("", b"hello")).unwrap();
                tls.conn.send_close_notify();
                let _ = tls.flush();
            }
        }
    });
    addr
}

//= C2
#[test]
fn no_certificate_but_a_good_one_is_taken() {
    let root = authority(|_| {});
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // what the product trusts, and this authority
    let roots = [root.der().clone()];
    let verifier =
        rustls_platform_verifier::Verifier::new_with_extra_roots(roots, Arc::clone(&provider)).unwrap();
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let all = shown(&root);
    let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
    assert!(names.iter().filter(|n| !n.starts_with("good")).count() >= 12);
    let addr = serve_shown(all.into_iter().map(|(_, shown)| shown).collect());
    for name in names {
        // a client of its own: no session is taken up again
        let http = Http { tls: Arc::new(tls.clone()), ..http_with(move |_| vec![addr.ip()]) };
        let url = format!("https://{NAME}:{}/announce", addr.port());
        let reply = run(http.get(&request(&url, Duration::from_secs(60))));
        if name.starts_with("good") {
            assert_eq!(reply.expect(name).body, b"hello", "{name}");
        } else {
            let error = reply.expect_err(name);
            assert!(error.contains("certificate") || error.contains("signature"), "{name}: {error}");
        }
    }
}

//= C2
#[test]
fn a_server_is_not_trusted_for_being_on_this_machine_or_spoken_to_in_plain() {
    let root = authority(|_| {});
    let addr = serve_shown(vec![signed(&root, &["localhost"], |_| {})]);
    assert!(get(&format!("https://localhost:{}/announce", addr.port())).is_err());
    // one that speaks no TLS is not spoken to in plain instead
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let plain = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(&ok("", b"hello")).unwrap();
        stream
    });
    assert!(get(&format!("https://{plain}/announce")).is_err());
    server.join().unwrap();
}
