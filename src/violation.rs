//! Every refusal.
//!
//! A refused call changed nothing. A [`Violation`] says why, carries the offending value and fits
//! two registers; its [`Class`] is one of the eight kinds of violation of SVA-OS (USENIX Security
//! 2009, section 2) that the refused call would have begun.

use crate::address::{Frame, Page, PhysAddr, VirtAddr};
use static_assertions::const_assert;

/// What would have been broken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Class {
    /// V1: saved processor state corrupted.
    SavedState,
    /// V2: a stack corrupted.
    Stack,
    /// V3: device memory taken for memory, or the reverse.
    DeviceMemory,
    /// V4: code changed.
    Code,
    /// V5: the MMU set up so that memory aliases what it must not.
    Mmu,
    /// V6: a page swapped back with other contents.
    Swap,
    /// V7: DMA into the wrong frame.
    Dma,
    /// V8: the kernel entered where it must not be.
    Entry,
}

/// What a machine must have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
#[repr(u32)]
pub enum Feature {
    /// CR0.WP: ring 0 obeys read-only pages (any 486).
    WriteProtect,
    /// CR4.PAE, for [`Pae`](crate::mmu::Pae).
    Pae,
    /// EFER.NXE, for [`Pae`](crate::mmu::Pae).
    NoExecute,
    /// Address line 20: memory above 1 MiB is not memory below it.
    AddressLine20,
}

impl core::fmt::Display for Feature {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Feature::WriteProtect => "write protection in ring 0",
            Feature::Pae => "physical address extension (PAE)",
            Feature::NoExecute => "the no-execute bit (NX)",
            Feature::AddressLine20 => "address line 20 (A20 is masked)",
        })
    }
}

macro_rules! violations {
    ($($(#[$doc:meta])* $name:ident($value:ty) $class:ident $text:literal;)*) => {
        /// Why a call was refused. Nothing was changed.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[non_exhaustive]
        pub enum Violation {
            $($(#[$doc])* $name($value),)*
        }

        impl Violation {
            /// The names of all variants, in the order of their definition.
            pub const NAMES: &'static [&'static str] = &[$(stringify!($name)),*];

            /// The name of the variant.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Violation::$name(_) => stringify!($name),)*
                }
            }

            /// What would have been broken.
            pub const fn class(self) -> Class {
                match self {
                    $(Violation::$name(_) => Class::$class,)*
                }
            }
        }

        // One of another size would send every result through memory.
        $(const_assert!(size_of::<$value>() == 4);)*

        impl core::fmt::Display for Violation {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                match self {
                    $(Violation::$name(value) => write!(f, $text, value),)*
                }
            }
        }
    };
}

violations! {
    // Frames.

    /// The frame lies past the end of RAM, in a hole, or belongs to firmware or a device.
    NoSuchFrame(Frame) DeviceMemory "frame {} is not RAM of this kernel";
    /// The frame's kind is being changed at this moment.
    FrameBusy(Frame) Mmu "frame {} is changing its kind";
    /// The frame was typed at boot or granted, for ever.
    FrameSealed(Frame) Mmu "frame {} is sealed";
    /// The frame is in some use already.
    NotFree(Frame) Mmu "frame {} is not free";
    /// The frame's kind may not be mapped in the user half.
    NotMappable(Frame) Mmu "frame {} may not be mapped for users";
    /// The frame is mapped, or being read or written.
    FrameInUse(Frame) Mmu "frame {} is mapped or being copied";
    /// The frame's kind is not one that a retype may leave.
    NotRetypable(Frame) Mmu "frame {} is of a kind that is never retyped";
    /// A frame that a device may write never becomes anything else.
    FrameIsDma(Frame) Dma "frame {} is open to devices for ever";
    /// The bytes of frames of this kind are not reached by copies.
    NoBytes(Frame) Mmu "frame {} is not one whose bytes may be copied";
    /// The layout did not say to keep the frame, so it is not lent to read.
    NotKept(Frame) Mmu "frame {} was not kept at init";
    /// One more mapping would overflow the frame's count.
    TooManyMappings(Frame) Mmu "frame {} has as many mappings as can be counted";
    /// No retype leads to this kind; the value is its number.
    KindNotOffered(u32) Mmu "no retype leads to kind {}";

    // Tables.

    /// The frame is not a user-half page table.
    NotATable(Frame) Mmu "frame {} is not a user page table";
    /// The frame is a page table, but of another level than this call takes.
    WrongLevel(Frame) Mmu "frame {} is a page table of another level";
    /// The frame is not a root.
    NotARoot(Frame) Mmu "frame {} is not a root";
    /// This paging mode has no table of this level below its root.
    NoSuchLevel(u32) Mmu "the paging mode has no table of level {}";
    /// The table is linked, or being linked.
    TableLinked(Frame) Mmu "table {} is linked";
    /// The table has present entries, or an intrinsic is at work in it.
    TableNotEmpty(Frame) Mmu "table {} is not empty";
    /// The root is in the CR3 of a CPU, or a thread will load it.
    RootInUse(Frame) Mmu "root {} is loaded";
    /// The root has present user entries, or an intrinsic is at work in it.
    RootNotEmpty(Frame) Mmu "root {} is not empty";

    // Entries.

    /// The index lies past the table's last entry.
    NoSuchEntry(u32) Mmu "the table has no entry {}";
    /// The entry lies in the kernel half of a root.
    KernelEntry(u32) Mmu "entry {} of a root belongs to the kernel half";
    /// The entry is present; replacing is another call.
    EntryPresent(u32) Mmu "entry {} is present";
    /// The entry is empty.
    EntryEmpty(u32) Mmu "entry {} is empty";
    /// The entry leads to a device: its rights do not change.
    DeviceEntry(u32) DeviceMemory "entry {} leads to a device, whose rights do not change";
    /// Another CPU changed the entry at this moment.
    EntryContended(u32) Mmu "entry {} was changed by another CPU meanwhile";

    // Ranges and addresses.

    /// The range is empty.
    EmptyRange(u32) Mmu "the range from number {} on is empty";
    /// The range passes its end: of the address space, a frame, or a table.
    RangeTooLong(u32) Mmu "the range of {} passes the end";
    /// The page lies outside the user window.
    NotAUserPage(Page) Mmu "page {} is not in the user window";
    /// No table serves this page yet and the caller has no frame for one.
    NoTable(Page) Mmu "no page table serves page {}";

    // The layout and the memory map that init is given.

    /// The CPU or machine lacks what the paging mode needs.
    Unsupported(Feature) Mmu "the machine lacks {}";
    /// Code, the stack or a variable that init itself uses lies in no segment of the image, or not
    /// where the segment of its role is.
    NotInImage(VirtAddr) Mmu "what init uses at {} lies in no segment of the image for it";
    /// A segment of the image is empty, or there is none with text.
    NoImage(u32) Mmu "segment {} of the image is empty or missing";
    /// More segments than the library keeps a record of.
    TooManySegments(u32) Mmu "{} segments are too many";
    /// The window for stacks is not made of whole slots, or has none for each CPU; the value is its pages.
    StackWindow(u32) Stack "a window of {} pages for stacks is not whole slots, or too small";
    /// Two parts of the layout use one page.
    PagesOverlap(Page) Mmu "two parts of the layout use page {}";
    /// Two parts of the layout use one frame.
    FramesOverlap(Frame) Mmu "two parts of the layout use frame {}";
    /// A part of the layout lies in the user window.
    InUserWindow(Page) Mmu "page {} of the layout lies in the user window";
    /// The user window does not begin and end at whole entries of a root, or fills the root.
    UserWindow(Page) Mmu "the user window at {} is not made of whole root entries, or leaves none";
    /// A part of the layout lies where the memory map has no RAM.
    NotRam(Frame) DeviceMemory "frame {} of the layout is not available RAM";
    /// A part of the layout lies beyond the direct map.
    NotDirectlyMapped(Frame) Mmu "frame {} lies beyond the direct map";
    /// The memory map wraps or has no usable RAM at all; the value is the region's place in it.
    BadRegion(u32) Mmu "region {} of the memory map wraps";
    /// No run of free frames is long enough for the library's own memory.
    NoRoom(u32) Mmu "no {} contiguous free frames for the library's tables";
    /// The number of CPUs is 0 or more than the library keeps state for.
    CpuCount(u32) Mmu "{} CPUs are none or too many";
    /// The library holds this machine already.
    AlreadyInitialised(PhysAddr) Mmu "the library was initialised before, at {}";
    /// The range of linear addresses wraps or leaves the user window.
    NotAUserRange(VirtAddr) Mmu "the range from {} on is not in the user window";

    // Interrupts.

    /// There are 256 vectors.
    NoSuchVector(u32) Entry "there is no vector {}";
    /// The vector is that of an exception or an interrupt line.
    NotSoftware(u32) Entry "vector {} is not one of software interrupts";
    /// The library keeps the vector for itself.
    VectorReserved(u32) Entry "vector {} belongs to the library";
    /// The vector has a handler already.
    VectorTaken(u32) Entry "vector {} has a handler";
    /// The vector has no handler.
    NotRegistered(u32) Entry "vector {} has no handler";
    /// The call is not for handlers; the value says how many run on this CPU, one inside the other.
    InHandler(u32) Entry "not inside a handler ({} deep)";
    /// The timer cannot interrupt so often, or so seldom.
    NoSuchRate(u32) Entry "the timer has no rate of {} Hz";
    /// The timer cannot measure this time.
    NoSuchDelay(u32) Entry "the timer has no delay of {} ticks";

    // Stacks and threads. The value is the number of the slot.

    /// A stack has 1 to [`STACK_PAGES`](crate::context::STACK_PAGES) pages.
    NoSuchStackSize(u32) Stack "a stack of {} pages is too small or too large";
    /// Every slot of the window for stacks is taken; the value says how many there are.
    NoStackSlot(u32) Stack "all {} slots for stacks are taken";
    /// A thread was made on the stack and has not ended.
    StackInUse(u32) Stack "the stack of slot {} is in use";
    /// There is no such slot.
    NoSuchThread(u32) SavedState "there is no thread {}";
    /// The thread has ended or its stack was released; the slot may be another's by now.
    StaleThread(u32) SavedState "the thread that was {} is gone";
    /// The thread runs on a CPU.
    ThreadRunning(u32) SavedState "thread {} is running";
    /// The thread is being made, ended or released at this moment, or is a CPU's idle thread.
    ThreadBusy(u32) SavedState "thread {} is not to be resumed now";
    /// The thread will never run again.
    ThreadEnded(u32) SavedState "thread {} has ended";
    /// What the entry captures is too large for the top of a stack; the value is its size in bytes.
    EntryTooLarge(u32) Stack "an entry that captures {} bytes is too large";
    /// Per-CPU data is borrowed on this CPU; the value says how often.
    PerCpuBorrowed(u32) SavedState "per-CPU data is borrowed ({} times)";

    // User contexts.

    /// A thread has so many TLS segments, and not this one.
    NoSuchTlsSlot(u32) Entry "there is no TLS slot {}";
    /// A user program may not read there: nothing is mapped for it.
    NotReadable(VirtAddr) Mmu "the user page at {} cannot be read";
    /// A user program may not write there: nothing is mapped for it, or read-only.
    NotWritable(VirtAddr) Mmu "the user page at {} cannot be written";

    // I/O ports. Who reaches the port of another device may program a DMA there.

    /// The range of ports is empty; the value is its first.
    NoPorts(u32) Dma "the range of ports from {:#06x} on is empty";
    /// The range passes port 0xffff; the value is its first.
    PastLastPort(u32) Dma "the range of ports from {:#06x} on passes the last";
    /// The policy does not let safe code claim the port, or not together with those before it.
    PortNotOffered(u32) Dma "port {:#06x} is not offered, or not with those before it";
    /// The port belongs to somebody.
    PortTaken(u32) Dma "port {:#06x} is taken";
    /// The keyboard controller does not get this command from safe code.
    KeyboardCommand(u32) Entry "command {:#04x} is not for the keyboard controller";
    /// The value names the function: bus, device and number.
    NoSuchFunction(u32) Dma "there is no PCI function {:#06x}";
    /// The register, or a bit of it that would change, is not the client's to write; the value is its offset.
    PciRegister(u32) Dma "register {:#04x} of a PCI function is not to be written so";
    /// The function is not known to have no DMA engine; the value names it.
    MayHaveDma(u32) Dma "PCI function {:#06x} may reach RAM by itself";
    /// The function does not answer by this base address register, at ports or in memory as was asked.
    NoSuchBar(u32) Dma "base address register {} does not lead there";
    /// The BAR holds the table of the function's message-signalled interrupts: who writes it writes any frame.
    MessageTable(u32) Dma "base address register {} holds a table of message-signalled interrupts";

    // Memory-mapped devices.

    /// The frame is RAM, not offered, or no place for a device.
    NotDeviceMemory(Frame) DeviceMemory "frame {} is not a device's that may be had";
    /// The frame belongs to somebody.
    DeviceTaken(Frame) DeviceMemory "frame {} of a device is taken";
    /// The window for devices has not so many pages in a row left.
    NoDevicePages(u32) DeviceMemory "the window for devices has no {} pages in a row left";
    /// The registers share a frame with others, or lie among RAM: no program gets them. The value is their first frame.
    NotLendable(Frame) DeviceMemory "the registers from frame {} on are not lent to programs";
    /// The register does not lie inside the region, or not at a multiple of its width.
    OutsideRegion(u32) DeviceMemory "the access at offset {:#x} is not one of a register inside the region";
    /// The offset lies past the end of the claimed ports, or the access passes it.
    OutsidePorts(u32) Dma "the access at offset {:#x} passes the end of the claimed ports";
}

impl core::error::Error for Violation {}

// It returns in two registers: `violations` sees to it that every value is 32 bits wide.
const_assert!(size_of::<Violation>() == 8);
const_assert!(size_of::<Result<(), Violation>>() == 8);
const_assert!(size_of::<Result<Frame, Violation>>() == 8);

/// How far a batch came. A batch never answers with an error after an effect.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[must_use]
pub struct Progress {
    /// How many elements are done; where one was refused, its index.
    pub done: u32,
    /// Why element `done` was refused; `None` when all are done.
    pub refused: Option<Violation>,
}

impl Progress {
    /// `Ok(done)` if nothing was refused.
    pub const fn complete(self) -> Result<u32, Violation> {
        match self.refused {
            None => Ok(self.done),
            Some(violation) => Err(violation),
        }
    }
}

#[cfg(test)]
mod tests;
