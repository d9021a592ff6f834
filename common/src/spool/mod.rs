//! The spool: the whole contract between `smap`, which creates messages, and `smapd`, which takes them.
//!
//! ```text
//! directory/            root:root 0755       the chroot of smap
//!   incoming/           smapd:smap 1730      smap creates, smapd takes
//!   queue/              smapd 0700           deferred messages, their state, our own notifications
//!   bad/                smapd 0700           what smapd sets aside, with a reason beside it
//!   control/            smapd 0700           `socket`, on which the smapd that runs takes an operator's orders
//!   lock                smapd                held by the one smapd that runs
//! ```
//!
//! # States of a message
//!
//! | state | files | who acts | what a crash leaves | who cleans up |
//! |---|---|---|---|---|
//! | **being written** | `incoming/ID`, locked, no END record | smap appends | the file, unlocked, without END | smapd removes it once it is unlocked and has not changed for a minute |
//! | **void** | `incoming/ID`, its END record overwritten, which is synced in its turn: the sync failed, the client read 4yz | nobody | the same | smapd removes it, as above |
//! | **committed** | `incoming/ID`, synced, END record last | smapd delivers | the same | smapd delivers it |
//! | **notification** | `queue/ID`, written and committed there by smapd itself | smapd delivers | the same; or the file without END | smapd delivers it, or removes what has no END |
//! | **partly delivered** | `incoming/ID` and `queue/ID.state` | smapd delivers the rest | the same, marks of the last second perhaps missing | smapd goes on from the state |
//! | **expanding** | `incoming/ID` or `queue/ID`, and `queue/ID.state` whose results lack their `EXPANDED` or are not synced | smapd syncs the state and its folder; nobody of the results is delivered to before | the same | smapd reads what is complete, syncs it, and makes anew what is not |
//! | **expanded** | as *partly delivered* or *deferred*: the state says whom recipients stand for | smapd delivers to those, each with a mark of his own, whatever the tables say by then | the same | smapd goes on from the state |
//! | **deferred** | `queue/ID` and `queue/ID.state` | smapd, when it is due | `ID` in either folder, its state in `queue/` | smapd goes on from the state |
//! | **held** | as *deferred*; at first as *committed* or *partly delivered*, with `queue/ID.state`: its last order is `hold` | the operator | the same | smapd moves it to `queue/` and leaves it there, until it is released, deleted or returned |
//! | **condemned** | any of the above with a state: its last order is `delete` or `bounce` | smapd, at once, or when the attempt is over that is under way | the same | smapd carries the order out |
//! | **done** | none | | `ID` or `ID.state` may be back, if the removal was not yet durable | smapd delivers once more (a removal is durable within a second), or removes a state without message |
//! | **set aside** | `bad/NAME` and `bad/NAME.reason`: poison, or refused with nobody to tell | the operator | `incoming/NAME`, `queue/NAME` or `bad/NAME` | the operator |
//!
//! *Guarantee:* once [`Draft::commit`] has returned a [`Committed`], the message is *committed*, *partly delivered*,
//! *expanding*, *expanded*, *deferred*, *held*, *condemned*, *set aside* or *done*, and nothing else, whatever process is killed and whenever
//! the power goes.
//!
//! # The order that the guarantee rests on
//!
//! 1. smap creates `incoming/ID` with its final name before it writes. The one `fsync` of the file then carries
//!    name and data in one journal commit (ext4, XFS and btrfs all make a new file's name durable with it).
//! 2. The END record is the last thing written before that `fsync`; without it the file is no message. A body
//!    cannot imitate it: it ends in a bare LF, which no body that was accepted holds.
//! 3. smapd writes `queue/ID.state` before it renames `incoming/ID` to `queue/ID`, and looks for a state beside
//!    every message, wherever it finds it: a rename that is not yet durable loses nothing, and a mark that is not
//!    costs a copy at most. Marks, renames and removals are synced within a second.
//! 4. A notification is durable in `queue/` before the failures that caused it are marked, and before the message is
//!    removed.
//! 5. smapd removes the message before its state, so that a message that is back has its state.
//! 6. An expansion is synced before anybody of it is delivered to, together with the name of the state, and synced again
//!    at the beginning of each attempt: who it was written by may have died before it was durable. From then on the
//!    tables have no part in it.
//! 7. What smapd removes it keeps open until the removal is durable. ext4 with `data=writeback` gives the blocks of a
//!    file that is gone to another at once, and the name could come back with that one's text. Where smapd cannot (it
//!    is killed, it lacks descriptors, the disk is behind) and the power goes within that second, it may: nobody misses
//!    that message any more, and it is set aside for its checksum or its id, or swept for want of an END record.
//! 8. An order is written to the state before it is acknowledged, and synced within a second. One that condemns a
//!    message that nobody works on is carried out instead: a removal leaves nothing to write it to.
//!
//! # The file
//!
//! An [`Envelope`](crate::envelope::Envelope), the body as CRLF lines, then records: a line `KIND LENGTH`, that
//! many octets and a LF. A kind in small letters that a reader does not know is skipped; any other makes the
//! file unreadable to it. The last is always `END`, of fixed length, with a checksum of all before it.

mod body;
mod draft;
mod expansion;
mod id;
mod incoming;
mod layout;
mod message;
mod order;
mod state;

use nix::fcntl::OFlag;

pub use body::{Body, Header};
pub use draft::{Committed, Draft, Folder, SpoolFile, StoreError, Void};
pub use expansion::{Everyone, Expansion, Kind as ExpansionKind, Member, One, Target};
pub use id::{BadQueueId, QueueId};
pub use incoming::{Incoming, Locked};
pub use layout::{Accounts, Layout, LayoutFault};
pub use message::{Expected, Message, Opened, Poison, remove_unfinished};
pub use order::{BadOrder, Order, Ordered};
pub use state::{Mark, Outcome, QueueState, Record, StateFile, state_name};

/// Where smap creates messages.
pub const INCOMING: &str = "incoming";
/// Where smapd keeps what is deferred.
pub const QUEUE: &str = "queue";
/// Where smapd sets things aside.
pub const BAD: &str = "bad";
/// Held by the running smapd.
pub const LOCK: &str = "lock";
/// Where the running smapd listens to the operator.
pub const CONTROL: &str = "control";

/// How what lies in the spool is opened to be read: no link is followed, nothing is waited for, no terminal becomes
/// ours, and no program that is started gets it.
const READ: OFlag = OFlag::O_NOFOLLOW.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);
