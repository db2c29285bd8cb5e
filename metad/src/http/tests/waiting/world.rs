//! Guests, their instances and what is published of them, for tests of requests that wait.

use tokio::task::{JoinHandle, yield_now};
use tower::ServiceExt;

use super::*;
use crate::identity::Peer;
use crate::instance::Mac;
use crate::inventory::{Notice, Seat};
use crate::limits::Meter;

/// Guests, each with an instance of its own in the slot of its number.
pub(super) struct World {
    pub(super) app: App,
    pub(super) stop: watch::Sender<bool>,
    pub(super) notices: Vec<Arc<Notice>>,
    pub(super) meters: Vec<Arc<Meter>>,
}

impl World {
    pub(super) fn new(guests: u32) -> Self {
        let meters = (0..guests).map(|_| Arc::default()).collect();
        let notices = (0..guests).map(|_| Arc::default()).collect();
        let world = Self {
            app: App {
                snapshot: Arc::default(),
                tokens: Tokens::with_key(&[7; 32]),
                signer: Guest::new().signer,
                state: StateDesk::default(),
                keep_alive: false,
                bounds: Arc::default(),
            },
            stop: watch::channel(false).0,
            notices,
            meters,
        };
        let instance = sample::instance();
        let answers = Arc::new(render::answers(&instance, 0));
        let instance = Arc::new(instance);
        let mut snapshot = Snapshot::default();
        for slot in 0..guests {
            let seat = world.seat(slot, 1, Arc::clone(&instance), Arc::clone(&answers));
            snapshot.seats.insert(slot, Arc::new(seat));
        }
        world.app.snapshot.store(Arc::new(snapshot));
        world
    }

    pub(super) fn seat(
        &self,
        slot: u32,
        generation: u64,
        instance: Arc<Instance>,
        answers: Arc<Answers>,
    ) -> Seat {
        Seat {
            slot,
            generation,
            instance,
            nic: 0,
            mac: Mac([0x52, 0x54, 0, 0, 0, 1]),
            interface: "vnet1".into(),
            ifindex: 9,
            answers,
            notice: Arc::clone(&self.notices[slot as usize]),
            meter: Arc::clone(&self.meters[slot as usize]),
        }
    }

    /// Publishes a changed instance in the slot; `None`: it is gone. Then rings for that instance alone.
    pub(super) fn change(
        &self,
        slot: u32,
        generation: u64,
        change: Option<&dyn Fn(&mut Instance)>,
    ) {
        let before = self.app.snapshot.load_full();
        let mut snapshot = Snapshot {
            seats: before.seats.clone(),
            ..Snapshot::default()
        };
        snapshot.seats.remove(&slot);
        if let Some(change) = change {
            let mut instance = (*before.seats[&slot].instance).clone();
            change(&mut instance);
            let answers = Arc::new(render::answers(&instance, 0));
            let seat = self.seat(slot, generation, Arc::new(instance), answers);
            snapshot.seats.insert(slot, Arc::new(seat));
        }
        self.app.snapshot.store(Arc::new(snapshot));
        self.notices[slot as usize].ring();
    }

    pub(super) fn set(&self, slot: u32, settings: &serde_json::Value) {
        self.change(
            slot,
            1,
            Some(&|instance| instance.settings = settings.as_object().cloned().unwrap()),
        );
    }

    pub(super) fn request(slot: u32, method: &str, path: &str) -> Request {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = path.parse().unwrap();
        request.extensions_mut().insert(Peer {
            seat: Ok((slot, 1)),
            ..Peer::unknown(Unknown::NoSeat)
        });
        request
    }

    pub(super) fn ask(&self, slot: u32, path: &str) -> JoinHandle<Told> {
        self.send(Self::request(slot, "GET", path))
    }

    pub(super) fn send(&self, request: Request) -> JoinHandle<Told> {
        tokio::spawn(told(
            router(self.app.clone(), self.stop.subscribe()),
            request,
        ))
    }

    pub(super) async fn get(&self, path: &str) -> Told {
        self.ask(0, path).await.unwrap()
    }

    /// Lets everybody go on until so many wait for the guest.
    pub(super) async fn until_waiting(&self, slot: u32, count: usize) {
        for _ in 0..10_000 {
            if self.notices[slot as usize].waiting() == count {
                return;
            }
            yield_now().await;
        }
        panic!(
            "{} wait, not {count}",
            self.notices[slot as usize].waiting()
        );
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) etag: Option<String>,
    pub(super) body: String,
}

pub(super) async fn told(router: Router, request: Request) -> Told {
    let response = router.oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let etag = parts.headers.get("etag");
    Told {
        status: parts.status.as_u16(),
        etag: etag.map(|etag| etag.to_str().unwrap().to_owned()),
        body: String::from_utf8(body.to_vec()).unwrap(),
    }
}
