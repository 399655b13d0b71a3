// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Deliveries under a clock that is moved by hand, to a receiver that fails when it is told to.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::json;

use super::*;
use crate::api::PageQuery;
use crate::api::projects::CreateProject;
use crate::api::webhooks::DeliveryState;
use crate::api::webhooks::{CreateWebhook, Delivery};
use crate::auth::Principal;
use crate::clock::ManualClock;
use crate::cms::Cms;
use crate::context::RequestContext;
use crate::crypto::DevSeal;
use crate::store::MemoryStore;
use crate::webhooks::Audience;
use crate::webhooks::progress::{KEPT, LONGEST_PAUSE, MAX_ATTEMPTS};

/// Keeps what it is sent, and fails while it is told to.
#[derive(Debug, Default)]
struct Receiver {
    seen: Mutex<Vec<Message>>,
    fails: Mutex<bool>,
}

#[async_trait]
impl Notifier for Receiver {
    fn check(&self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn send(&self, message: &Message) -> Result<(), String> {
        self.seen.lock().push(message.clone());
        if *self.fails.lock() { Err(String::from("the receiver answered 500")) } else { Ok(()) }
    }
}

struct Fixture {
    cms: Cms,
    clock: Arc<ManualClock>,
    receiver: Arc<Receiver>,
    root: RequestContext,
    project: ProjectId,
    hook: String,
}

impl Fixture {
    async fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000)));
        let builder = Cms::builder(Arc::new(MemoryStore::new()), Arc::new(DevSeal));
        let (cms, _) = builder.clock(clock.clone()).initialize().await.unwrap();
        let root = RequestContext::new(Principal::root());
        let project = ProjectId::parse("p").unwrap();
        let new = CreateProject { id: "p".into(), name: "p".into(), ..CreateProject::default() };
        cms.projects().create(&root, new).await.unwrap();
        let receiver = Arc::<Receiver>::default();
        // The builder's own loop has no connections: this test sends by itself.
        let webhooks = crate::webhooks::Webhooks::new(cms.kit().clone(), receiver.clone());
        let create = CreateWebhook {
            url: "https://x.example".into(),
            events: vec!["request.*".into()],
            description: None,
        };
        let hook = webhooks.create(&root, &project, create).await.unwrap().about.id;
        Self { cms, clock, receiver, root, project, hook }
    }

    async fn tell(&self, kind: &str) {
        let scope = self.cms.kit().db.internal(&self.project);
        let told = Audience::of(self.cms.kit(), &scope).await.unwrap().tell(kind, &json!({"n": 1})).unwrap();
        self.cms.kit().db.commit(told).await.unwrap();
    }

    async fn turn(&self) {
        let mails = Mails::new(self.cms.kit().clone(), None);
        deliver_due(self.cms.kit(), &*self.receiver, &mails).await.unwrap();
    }

    async fn deliveries(&self) -> Vec<Delivery> {
        let webhooks = self.cms.webhooks();
        let page = webhooks.deliveries(&self.root, &self.project, &self.hook, &PageQuery::default()).await;
        page.unwrap().items
    }
}

#[test]
fn a_signature_is_that_of_the_standard() {
    // The example of the standard's own documentation.
    let secret = BASE64.decode(b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
    let body = r#"{"test": 2432232314}"#;
    let signature = signature(&secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body);
    assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

#[tokio::test]
async fn a_receiver_that_fails_gets_everything_in_order_once_it_is_back() {
    let it = Fixture::new().await;
    *it.receiver.fails.lock() = true;
    for kind in ["request.opened", "activation", "request.approved"] {
        it.tell(kind).await;
    }
    it.turn().await;
    it.turn().await;
    assert_eq!(it.receiver.seen.lock().len(), 1, "the pause is kept, and nothing overtakes");
    it.clock.advance(Duration::from_secs(10));
    it.turn().await;
    assert_eq!(it.receiver.seen.lock().len(), 2);
    *it.receiver.fails.lock() = false;
    it.clock.advance(Duration::from_secs(20));
    it.turn().await;
    let seen = it.receiver.seen.lock().clone();
    assert_eq!(seen.len(), 4, "{seen:?}");
    assert!(seen[..3].iter().all(|message| message.id == seen[0].id), "the id stays the same");
    assert!(seen[2].body.contains("request.opened") && seen[3].body.contains("request.approved"));
    let deliveries = it.deliveries().await;
    assert!(deliveries.iter().all(|delivery| delivery.state == DeliveryState::Delivered), "{deliveries:?}");
    it.cms.shutdown().await;
}

#[tokio::test]
async fn what_is_given_up_is_listed_and_sent_again_by_hand() {
    let it = Fixture::new().await;
    *it.receiver.fails.lock() = true;
    it.tell("request.opened").await;
    for _ in 0..MAX_ATTEMPTS + 3 {
        it.turn().await;
        it.clock.advance(LONGEST_PAUSE * 2);
    }
    let dead = it.deliveries().await;
    assert_eq!((dead[0].state, dead[0].attempts), (DeliveryState::Dead, MAX_ATTEMPTS));
    assert_eq!(dead[0].last_result.as_deref(), Some("the receiver answered 500"));
    *it.receiver.fails.lock() = false;
    it.cms.webhooks().resend(&it.root, &it.project, &it.hook, &dead[0].id).await.unwrap();
    it.turn().await;
    assert_eq!(it.deliveries().await[0].state, DeliveryState::Delivered);
    // A webhook that is gone leaves nothing behind.
    it.tell("request.opened").await;
    it.cms.webhooks().delete(&it.root, &it.project, &it.hook).await.unwrap();
    it.turn().await;
    let waiting = it.cms.kit().db.range(Range::prefix(WAITING)).await.unwrap().entries;
    assert_eq!(waiting, Vec::new());
    let report = it.cms.verify(&it.root, &|_| ()).await.unwrap();
    assert!(report.ok, "{report:#?}");
    it.cms.shutdown().await;
}

#[tokio::test]
async fn more_than_is_kept_goes_the_oldest_first() {
    let it = Fixture::new().await;
    for _ in 0..KEPT + 5 {
        it.tell("request.opened").await;
    }
    for _ in 0..6 {
        it.turn().await;
    }
    let prefix = it.cms.kit().db.internal(&it.project).key(DELIVERIES);
    let kept = it.cms.kit().db.range(Range::prefix(&prefix)).await.unwrap().entries;
    assert!((KEPT..=KEPT + 1).contains(&kept.len()), "{}", kept.len());
    assert_eq!(it.receiver.seen.lock().len(), KEPT + 5);
    it.cms.shutdown().await;
}
