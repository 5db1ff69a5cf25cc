//! A lab inside a qemu guest: a stock Debian kernel on the running root file system, without an image.
//!
//! For machines whose own kernel lacks ESP, XFRM interfaces or netem. The guest's root is the machine's own, read-only
//! below a layer in memory, so that the daemons and this very program are the same as outside; its initramfs holds nothing
//! but this program and the modules that reach the root. The guest has no network card at all: commands travel over
//! serial ports ([`wire`]), and every verb of a lab in a guest is the same verb, run inside.

pub mod agent;
pub mod client;
pub mod cpio;
pub(crate) mod forward;
pub mod guest;
pub mod image;
pub mod kernel;
pub mod modules;
pub mod qemu;
pub mod wire;
