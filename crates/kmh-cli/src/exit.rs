//! Exit codes, the same everywhere.

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 0: done, or the answer is yes.
    Done = 0,
    /// 1: the answer is no.
    No = 1,
    /// 2: the call or a document is wrong.
    Wrong = 2,
    /// 3: the world failed: disk, network, host.
    World = 3,
}
