//! Processes that have to show each other that they know a secret, and strangers that do not.

use std::io;

use minicbor::Encoder;
use saga::{
    CallError, CallOptions,
    remote::{BoxStream, Secrets, Transport as _},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::{
    PARTITIONS, bank::Reply, call_with, country::Branch, country::CLERK_PARTITIONS, country::Country, deposit,
    open_accounts, pass, transfer_around,
};

const OURS: &str = "the secret of this town";
const THEIRS: &str = "the secret of another town";

fn secrets(lines: &[&str]) -> Option<Secrets> {
    let lines: Vec<_> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
    Some(Secrets::new(move || Ok(lines.clone())))
}

#[tokio::test(start_paused = true)]
async fn who_knows_the_secret_is_let_in_also_while_it_is_replaced() {
    // First everybody is given the new one as the second, then it becomes the first, then the old one goes.
    for [before, after] in
        [[&[OURS][..], &[OURS, THEIRS]], [&[OURS, THEIRS], &[THEIRS, OURS]], [&[THEIRS, OURS], &[THEIRS]]]
    {
        let mut country = Country::new();
        country.secrets = secrets(before);
        let bank = country.bank(1).await;
        country.secrets = secrets(after);
        let (other, clerk) = (country.bank(2).await, country.clerk(1).await);
        pass(5000).await;
        open_accounts(&bank.handle, 6, 100).await;
        transfer_around(&clerk.handle, 6, 3).await;
        transfer_around(&other.handle, 6, 3).await;
        for node in [&bank.node, &other.node, &clerk.node] {
            assert_eq!(node.health().reasons(), [""; 0], "{before:?} {after:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn who_knows_another_secret_or_none_is_not_let_in_and_not_believed() {
    for [bank, clerk] in [[Some(OURS), Some(THEIRS)], [Some(OURS), None], [None, Some(OURS)]] {
        let mut country = Country::new();
        let of = |line: Option<&str>| line.and_then(|line| secrets(&[line]));
        country.secrets = of(bank);
        let bank_there = country.bank(1).await;
        country.secrets = of(clerk);
        let clerk_there = country.clerk(1).await;
        pass(5000).await;
        let asked = call_with(&clerk_there.handle, deposit("account", 1), CallOptions::default()).await;
        assert_eq!(asked, Err(CallError::Unavailable), "{bank:?} {clerk:?}");
        for node in [&bank_there.node, &clerk_there.node] {
            let reasons = node.health().reasons().join("; ");
            assert!(reasons.contains("secret of the shop"), "{bank:?} {clerk:?}: {reasons}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_cannot_be_read_lets_nobody_in() {
    let mut country = Country::new();
    country.secrets = Some(Secrets::new(|| Err(io::Error::other("it is on a disk that is gone"))));
    let bank = country.bank(1).await;
    country.secrets = secrets(&[OURS]);
    let clerk = country.clerk(1).await;
    pass(5000).await;
    assert!(call_with(&clerk.handle, deposit("account", 1), CallOptions::default()).await.is_err());
    let reasons = bank.node.health().reasons().join("; ");
    assert!(reasons.contains("on a disk that is gone"), "{reasons}");
}

#[tokio::test(start_paused = true)]
async fn another_service_may_ask_what_is_its_business_and_a_replica_may_ask_everything() {
    let country = Country::new();
    let (bank, other, clerk) = (country.bank(1).await, country.bank(2).await, country.clerk(1).await);
    pass(5000).await;
    let asked = async |branch: &Branch<_>, account| {
        call_with(&branch.handle, deposit(account, 1), CallOptions::default()).await
    };
    assert_eq!(asked(&clerk, "account").await, Ok(Reply::Balance(1)));
    assert_eq!(asked(&clerk, "vault").await, Err(CallError::Unavailable));
    // One of the two owns it, and the other asks that one.
    assert_eq!(asked(&bank, "vault").await, Ok(Reply::Balance(1)));
    assert_eq!(asked(&other, "vault").await, Ok(Reply::Balance(2)), "nothing came of the clerk's");
}

/// A greeting as the clerk's, with a random number of so many bytes, or without.
fn hello(service: &str, nonce: Option<usize>) -> Vec<u8> {
    let mut body = Encoder::new(Vec::new());
    let fields = body.array(2).and_then(|body| body.u32(0)).and_then(|body| body.array(9)).and_then(|body| {
        body.u64(3)?
            .str(service)?
            .u16(CLERK_PARTITIONS)?
            .str("bank")?
            .u16(PARTITIONS)?
            .u64(7)?
            .null()?
            .str("stranger:1")
    });
    let fields = fields.expect("a vector takes anything");
    match nonce {
        Some(bytes) => fields.bytes(&vec![1; bytes]).map(drop),
        None => fields.null().map(drop),
    }
    .expect("a vector takes anything");
    framed(&body.into_writer())
}

fn framed(body: &[u8]) -> Vec<u8> {
    [&u32::try_from(body.len()).expect("it is short").to_be_bytes(), body].concat()
}

/// The body of the next frame, while there is one.
async fn next(stream: &mut BoxStream) -> Option<Vec<u8>> {
    let length = stream.read_u32().await.ok()?;
    let mut body = vec![0; length as usize];
    stream.read_exact(&mut body).await.ok()?;
    Some(body)
}

/// What of a message there is to read for people.
fn text(body: Option<Vec<u8>>) -> String {
    String::from_utf8_lossy(&body.unwrap_or_default()).into_owned()
}

#[tokio::test(start_paused = true)]
async fn a_stranger_learns_nothing_and_has_nothing_carried_out() {
    let mut country = Country::new();
    country.secrets = secrets(&[OURS]);
    let (bank, clerk) = (country.bank(1).await, country.clerk(1).await);
    pass(5000).await;
    open_accounts(&clerk.handle, 1, 100).await;
    let stranger = async || country.network.connect("bank-1").await.expect("the port is open");

    let mut stream = stranger().await;
    stream.write_all(&hello("clerk", None)).await.unwrap();
    assert!(text(next(&mut stream).await).contains("does not show that it knows the secret"));
    assert_eq!(next(&mut stream).await, None, "it is closed");

    let mut stream = stranger().await;
    stream.write_all(&hello("clerk", Some(5))).await.unwrap();
    assert!(text(next(&mut stream).await).contains("no random number"));

    // Whatever it is called: whether there is such a service is nothing for a stranger.
    for service in ["clerk", "bank", "nobody"] {
        let mut stream = stranger().await;
        stream.write_all(&hello(service, Some(32))).await.unwrap();
        let challenge = next(&mut stream).await.expect("a challenge");
        assert_eq!(challenge.get(..3), Some(&[0x82, 15, 0x82][..]), "{service}");
        // The called side's own proof, sent back.
        let proof = challenge.get(challenge.len() - 34..).expect("a proof is at the end").to_vec();
        stream.write_all(&framed(&[&[0x82, 16, 0x81][..], &proof].concat())).await.unwrap();
        assert!(text(next(&mut stream).await).contains("does not know the secret"), "{service}");
        assert_eq!(next(&mut stream).await, None, "{service}");
    }

    // Something else in the place of a proof: a sign of life, and an acknowledgement of more than there is.
    for message in [&[0x82, 13, 0x80][..], &[0x82, 12, 0x81, 0x81, 0x83, 0, 0, 0x19, 0xff, 0xff]] {
        let mut stream = stranger().await;
        stream.write_all(&hello("clerk", Some(32))).await.unwrap();
        next(&mut stream).await.expect("a challenge");
        stream.write_all(&framed(message)).await.unwrap();
        assert!(text(next(&mut stream).await).contains("does not know the secret"));
        assert_eq!(next(&mut stream).await, None);
    }

    // More than a greeting can have: nobody waits for the rest.
    let mut stream = stranger().await;
    stream.write_all(&[0, 0, 4, 1]).await.unwrap();
    assert_eq!(next(&mut stream).await, None);

    // Nothing more: it is closed by and by.
    let mut stream = stranger().await;
    stream.write_all(&hello("clerk", Some(32))).await.unwrap();
    next(&mut stream).await.expect("a challenge");
    pass(2500).await;
    assert_eq!(next(&mut stream).await, None);

    let answer = call_with(&clerk.handle, deposit("account-0", 1), CallOptions::default()).await;
    assert_eq!(answer, Ok(Reply::Balance(101)), "all the while the others are served");
    assert_eq!(bank.node.health().reasons(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn who_only_pretends_to_know_the_secret_is_shown_nothing() {
    let mut country = Country::new();
    let mut pretender = country.network.listen("bank-1");
    country.secrets = secrets(&[OURS]);
    let _clerk = country.clerk(1).await;
    for _ in 0..2 {
        let mut stream = pretender.accept().await.expect("the clerk connects");
        let greeting = next(&mut stream).await.expect("a greeting");
        assert_eq!(greeting.get(..2), Some(&[0x82, 0][..]));
        let challenge = [&[0x82, 15, 0x82, 0x58, 32][..], &[2; 32], &[0x58, 32], &[3; 32]].concat();
        stream.write_all(&framed(&challenge)).await.unwrap();
        assert_eq!(next(&mut stream).await, None, "it goes away without a proof");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_name_is_refused_before_anything_is_remembered_of_it() {
    let country = Country::new();
    let _bank = country.bank(1).await;
    for (length, reason) in [(64, "is no service that bank knows"), (65, "the name of a service is too long")] {
        let mut stream = country.network.connect("bank-1").await.expect("the port is open");
        stream.write_all(&hello(&"n".repeat(length), None)).await.unwrap();
        let said = text(next(&mut stream).await);
        assert!(said.contains(reason), "{said}");
    }
}
