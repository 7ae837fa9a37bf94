//! A crash at every change of a disk, systematically.
//!
//! The table "Which engine is written first" (docs/architecture.md) says in which order records become durable, and what a crash in between
//! leaves. A campaign crashes stores at random times; here a store crashes at every place of the table. A *scenario* is a script on a fixed
//! seed. It runs once undisturbed, and whatever one of its stores does to its disks, write by write and sync by sync, gets a number. Then it
//! runs again for each number: the power fails just before that change or just after it, in the middle of the stage that makes it. Of what was not
//! synced on either engine and in the folder of snapshots everything survives or nothing, in all combinations that differ. The store starts again
//! some ticks later; what it changes while it makes up for the crash has numbers, too, and it crashes there once more. In all runs every
//! invariant holds after every step, the scenario comes to its aim, replicas are equal, callbacks are answered, the history is linearizable.
//!
//! | file | what it does |
//! |---|---|
//! | `scenarios.rs` | the scripts |
//! | `run.rs` | a run, and all of them |
//! | `watch.rs`, `dir.rs` | numbers the changes of a store's disks, and refuses them when its power has failed |
//! | `strike.rs` | what the driver does then |
//! | `point.rs` | names of crashes |
//! | `records.rs`, `rows.rs` | what a change is about, the rows of the table, and the count of crashes |

mod dir;
mod point;
mod records;
mod rows;
mod run;
mod scenarios;
mod strike;
mod watch;

pub use point::{Point, Unsynced};
pub use rows::{Mark, Row, Tally};
pub use run::{explore, replay};
pub use scenarios::{ALL as SCENARIOS, Scenario};
pub use watch::{Disk, Watch};

pub(super) use dir::WatchedDir;
pub(super) use records::{Description, INGESTED, of_batch, of_sync, of_tables};
