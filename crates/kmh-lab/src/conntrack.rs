//! A box that translates addresses forgets its connections: one whose line has dialled again has no use for them, and what
//! came from outside keeps the old address for as long as packets flow.

use std::process::Command;

use kmh_cli::{Failure, file::plain};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with,
};

use crate::machine::output;
use crate::memory::on_wires;
use crate::state::{LabName, State};

/// To delete without saying which, of nfnetlink's part for connections (linux/netfilter/nfnetlink.h,
/// `nfnetlink_conntrack.h`): header with length, type and flags (a request that is to be acknowledged), any family.
const ALL: [u8; 20] = [20, 0, 0, 0, 2, 1, 5, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
/// The answer's type when it is a code (`NLMSG_ERROR`); zero is a yes.
const CODE: [u8; 2] = [2, 0];

/// Lets a namespace of a lab forget.
pub(crate) fn forget(lab: &LabName, state: &State, space: &str) -> Result<(), Failure> {
    let tool = std::env::current_exe()
        .map_err(|error| Failure::world("cannot find the program itself").because(plain(&error)))?;
    let command: Command = on_wires(lab, state, space, [tool.as_os_str(), "forget".as_ref()])?;
    output(command, &[]).map(|_| ())
}

/// Forgets, in the namespace that this runs in.
pub(crate) fn run() -> Result<(), Failure> {
    let failed = |error: Errno| {
        Failure::world("the kernel does not forget its connections").because(plain(&error.into()))
    };
    let kernel =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(netlink::NETFILTER))
            .map_err(failed)?;
    send(&kernel, &ALL, SendFlags::empty()).map_err(failed)?;
    let mut answer = [0_u8; 64];
    let (length, _) = recv(&kernel, &mut answer, RecvFlags::empty()).map_err(failed)?;
    let code = (length >= 20 && answer[4..6] == CODE)
        .then(|| i32::from_ne_bytes([answer[16], answer[17], answer[18], answer[19]]));
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(failed(Errno::from_raw_os_error(-code))),
        None => Err(failed(Errno::BADMSG)),
    }
}
