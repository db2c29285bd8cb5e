//! The object, loaded and told of one NIC on the loopback interface, where test runs take place.

use std::net::Ipv6Addr;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use aya::Ebpf;
use aya::maps::{HashMap, PerCpuArray, RingBuf};
use aya::programs::{ProgramInfo, SchedClassifier, TestRun, TestRunOptions, TestRunResult, Xdp};
use metad::datapath::{Globals, OBJECT, object_loader};
use metad_common::abi::{Bucket, Flow, FlowKey, NicKey, NicSlot, Port};
use metad_common::limit::Limit;
use metad_common::names;
use metad_common::reason::{COUNTERS_LEN, Counted, Reason, counter_index};

/// Actions of linux/pkt_cls.h as a test run returns them.
pub(crate) const PASS: u32 = u32::MAX;
pub(crate) const SHOT: u32 = 2;
pub(crate) const REDIRECT: u32 = 7;

/// Actions of XDP (linux/bpf.h).
pub(crate) const XDP_DROP: u32 = 1;
pub(crate) const XDP_PASS: u32 = 2;

/// What a program did with a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) action: u32,
    pub(crate) frame: Vec<u8>,
}

/// The programs and their maps.
pub(crate) struct Loaded {
    ebpf: Ebpf,
    _alone: MutexGuard<'static, ()>,
}

/// Test runs take place on the loopback interface unless told otherwise.
pub(crate) const LOOPBACK: u32 = 1;
pub(crate) const GUEST_MAC: [u8; 6] = [0x52, 0x54, 0, 1, 2, 3];
pub(crate) const BRIDGE_MAC: [u8; 6] = [0x52, 0x54, 0, 0xff, 0xff, 1];
pub(crate) const DAEMON_MAC: [u8; 6] = [0x02, 0xde, 0xad, 0, 0, 1];
pub(crate) const SLOT: u32 = 7;
pub(crate) const SLOT_ADDRESS: [u8; 4] = [100, 64, 0, 7];
pub(crate) const SLOT_IPV6: Ipv6Addr = Ipv6Addr::new(0xfd6d, 0x6574, 0x6164, 1, 0, 0, 0, 7);

/// Loading takes locked memory on old kernels and the verifier's time on all: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

impl Loaded {
    /// With no limit on connections: test runs come faster than any guest.
    pub(crate) fn new() -> Self {
        Self::with(Limit::OFF)
    }

    pub(crate) fn with(connections: Limit) -> Self {
        let alone = ALONE
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let globals = Globals {
            ifindex: LOOPBACK,
            mac: DAEMON_MAC,
            log_drops: 0,
            connections,
        };
        let mut ebpf = object_loader(&globals).load(OBJECT).unwrap();
        for name in [names::GUEST_INGRESS, names::REPLY] {
            classifier(&mut ebpf, name).load().unwrap();
        }
        flood_guard(&mut ebpf).load().unwrap();
        let mut loaded = Self {
            ebpf,
            _alone: alone,
        };
        let port = Port {
            identity: LOOPBACK,
            mac: BRIDGE_MAC,
            outside: 0,
            zero: [0; 1],
        };
        loaded.ports().insert(LOOPBACK, port, 0).unwrap();
        loaded
            .nics()
            .insert(
                NicKey::new(LOOPBACK, GUEST_MAC),
                NicSlot::new(SLOT, true),
                0,
            )
            .unwrap();
        loaded
    }

    pub(crate) fn run(&mut self, program: &str, frame: &[u8]) -> Outcome {
        let mut out = vec![0; frame.len() + 256];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut out),
            ..TestRunOptions::default()
        };
        let result = self.test_run(program, options);
        out.truncate(usize::try_from(result.data_size_out).unwrap());
        Outcome {
            action: result.return_value,
            frame: out,
        }
    }

    /// What a frame that is not changed costs a program, on average.
    pub(crate) fn cost(&mut self, program: &str, frame: &[u8]) -> Duration {
        let options = TestRunOptions {
            data_in: Some(frame),
            repeat: 1_000_000,
            ..TestRunOptions::default()
        };
        self.test_run(program, options).duration
    }

    fn test_run(&mut self, program: &str, options: TestRunOptions<'_>) -> TestRunResult {
        let result = if program == names::FLOOD_GUARD {
            flood_guard(&mut self.ebpf).test_run(options)
        } else {
            classifier(&mut self.ebpf, program).test_run(options)
        };
        result.unwrap()
    }

    pub(crate) fn nics(&mut self) -> HashMap<&mut aya::maps::MapData, NicKey, NicSlot> {
        self.map(names::NICS)
    }

    pub(crate) fn flows(&mut self) -> HashMap<&mut aya::maps::MapData, FlowKey, Flow> {
        self.map(names::FLOWS)
    }

    pub(crate) fn ports(&mut self) -> HashMap<&mut aya::maps::MapData, u32, Port> {
        self.map(names::PORTS)
    }

    pub(crate) fn buckets(&mut self) -> HashMap<&mut aya::maps::MapData, u32, Bucket> {
        self.map(names::BUCKETS)
    }

    pub(crate) fn strangers(&mut self) -> RingBuf<&mut aya::maps::MapData> {
        self.map(names::STRANGERS)
    }

    pub(crate) fn count(&mut self, counted: Counted) -> u64 {
        let counters: PerCpuArray<_, u64> = self.map(names::COUNTERS);
        assert_eq!(counters.len(), COUNTERS_LEN);
        counters
            .get(&counter_index(counted), 0)
            .unwrap()
            .iter()
            .sum()
    }

    /// The counters of every reason, in order.
    pub(crate) fn drops(&mut self) -> Vec<u64> {
        let counters: PerCpuArray<_, u64> = self.map(names::COUNTERS);
        let count = |reason| {
            counters
                .get(&counter_index(Counted::Dropped(reason)), 0)
                .unwrap()
        };
        Reason::ALL
            .iter()
            .map(|reason| count(*reason).iter().sum())
            .collect()
    }

    pub(crate) fn info(&mut self, program: &str) -> ProgramInfo {
        let info = if program == names::FLOOD_GUARD {
            flood_guard(&mut self.ebpf).info()
        } else {
            classifier(&mut self.ebpf, program).info()
        };
        info.unwrap()
    }

    fn map<'a, M>(&'a mut self, name: &str) -> M
    where
        M: TryFrom<&'a mut aya::maps::Map, Error = aya::maps::MapError>,
    {
        M::try_from(self.ebpf.map_mut(name).unwrap()).unwrap()
    }
}

fn flood_guard(ebpf: &mut Ebpf) -> &mut Xdp {
    let program = ebpf.program_mut(names::FLOOD_GUARD).unwrap();
    program.try_into().unwrap()
}

fn classifier<'a>(ebpf: &'a mut Ebpf, name: &str) -> &'a mut SchedClassifier {
    ebpf.program_mut(name).unwrap().try_into().unwrap()
}
