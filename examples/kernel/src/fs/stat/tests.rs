use super::*;

fn sample() -> Stat {
    let time = |seconds| Time { seconds, nanoseconds: seconds as u32 + 1 };
    Stat {
        device: DeviceNumber { major: 1, minor: 2 },
        inode: 3,
        mode: S_IFCHR | 0o644,
        links: 4,
        uid: 5,
        gid: 6,
        special: DeviceNumber { major: 7, minor: 8 },
        size: 9,
        blocks: 10,
        block_size: 4096,
        accessed: time(20),
        modified: time(30),
        changed: time(40),
    }
}

fn word<const N: usize>(bytes: &[u8; N], place: usize) -> u32 {
    u32::from_le_bytes(bytes[place..place + 4].try_into().unwrap())
}

/// The offsets are those of the C structures on i386, where a 64-bit integer is aligned to four bytes.
#[test]
fn fields_are_where_linux_has_them() {
    let stat = sample().to_stat64();
    let fields =
        [(0, 0x102), (12, 3), (16, 0o20644), (20, 4), (24, 5), (28, 6), (32, 0x708), (44, 9), (52, 4096)];
    let times = [(56, 10), (64, 20), (68, 21), (72, 30), (76, 31), (80, 40), (84, 41), (88, 3)];
    for (place, value) in fields.into_iter().chain(times) {
        assert_eq!(word(&stat, place), value, "stat64 at {place}");
    }
    let stat = sample().to_stat().unwrap();
    let fields =
        [(0, 0x102), (4, 3), (8, 0o20644 | 4 << 16), (12, 5 | 6 << 16), (16, 0x708), (20, 9), (24, 4096)];
    let times = [(28, 10), (32, 20), (36, 21), (40, 30), (44, 31), (48, 40), (52, 41), (56, 0)];
    for (place, value) in fields.into_iter().chain(times) {
        assert_eq!(word(&stat, place), value, "stat at {place}");
    }
    let stat = sample().to_statx();
    let fields =
        [(0, 0x7ff), (4, 4096), (16, 4), (20, 5), (24, 6), (28, 0o20644), (32, 3), (40, 9), (48, 10)];
    let times = [(64, 20), (72, 21), (80, 0), (96, 40), (104, 41), (112, 30), (120, 31)];
    let devices = [(128, 7), (132, 8), (136, 1), (140, 2)];
    for (place, value) in fields.into_iter().chain(times).chain(devices) {
        assert_eq!(word(&stat, place), value, "statx at {place}");
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    assert_eq!(Stat { size: 1 << 31, ..sample() }.to_stat(), Err(Errno::EOVERFLOW));
    assert_eq!(Stat { links: 65536, ..sample() }.to_stat(), Err(Errno::EOVERFLOW));
    assert_eq!(word(&Stat { size: 1 << 32, ..sample() }.to_stat64(), 48), 1);
}

#[test]
fn statfs_is_where_linux_has_it() {
    let stat = StatFs { kind: 1, block_size: 2, blocks: 3, free: 4, files: 5, free_files: 6 };
    let words: Vec<_> = (0..21).map(|place| word(&stat.to_statfs64(), place * 4)).collect();
    assert_eq!(words, [1, 2, 3, 0, 4, 0, 4, 0, 5, 0, 6, 0, 0, 0, 255, 2, 0, 0, 0, 0, 0]);
    let words: Vec<_> = (0..16).map(|place| word(&stat.to_statfs().unwrap(), place * 4)).collect();
    assert_eq!(words, [1, 2, 3, 4, 4, 5, 6, 0, 0, 255, 2, 0, 0, 0, 0, 0]);
}

#[test]
fn device_numbers_keep_all_their_bits() {
    for (major, minor) in [(0, 0), (4, 64), (0xfff, 0xfffff), (1, 0x12345)] {
        let device = DeviceNumber { major, minor };
        assert_eq!(DeviceNumber::from_u32(device.to_u32()), device);
    }
    assert_eq!(DeviceNumber { major: 4, minor: 64 }.to_u32(), 0x440);
}
