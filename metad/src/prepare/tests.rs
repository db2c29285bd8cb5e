//! XML in, the exact XML out, both written by hand; and what holds for every XML.

mod applied;
mod domains;
mod laws;
mod networks;
mod outlooks;
mod refused;

use super::{Datasource, Wish};

const PLAIN: &str = "0de4d5e6-3d4e-4f60-8182-93a4b5c6d7e8";
const EC2: &str = "ec24d5e6-3d4e-4f60-8182-93a4b5c6d7e8";
const SEED: &str = "ds=nocloud;dsmode=net;s=http://169.254.169.254/nocloud/";

fn wish(datasource: Datasource) -> Wish {
    Wish {
        datasource,
        seed_url: None,
        new_uuid: false,
        replace: false,
    }
}
