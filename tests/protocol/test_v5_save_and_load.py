"""Orders of access, stream bytes and refusals of one device's flows (v5 spec 2, 3, 4)."""

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted import AREAS, Scripted, device_with, migration_region

from vfiokit.accesses import Emit, Map, Put
from vfiokit.errors import AccessError, RuleError, StateError, StreamCutError, StreamError
from vfiokit.protocol.stream_cursor import Cursor
from vfiokit.protocol.v5 import AS_POSTED, INTERFACE, load, save
from vfiokit.protocol.v5.quirks import Profile
from vfiokit.protocol.v5.region import map_areas, probe
from vfiokit.protocol.v5.states import MigrationStatus, notify_status, set_state, vm_state_changed
from vfiokit.runner import run
from vfiokit.vmm import sections
from vfiokit.vmm.sections import SectionHead

END, CONFIG, SETUP, DATA = (bytes.fromhex(f"ffffffffef10000{n}") for n in (1, 2, 3, 4))


def be64(value):
    return value.to_bytes(8, "big")


def test_the_stream_of_spec_4_2():
    """Section 7, four bytes of data in one PART; the config part is left out as for a device without."""
    device = device_with(migration_region())
    device.vm_running, device.device_state = True, 1
    world = Scripted(
        {"pending_bytes": [4, 0], "data_offset": 0x1000, "data_size": 4}, {0x1000: b"\xaa\xbb\xcc\xdd"}
    )

    def whole():
        yield sections.put_head(SectionHead(1, 7, "0000:00:04.0/vfio", 0, 1))
        yield from save.save_setup(device)
        yield sections.put_footer(7)
        yield from save.save_pending(device, save.Totals())
        yield sections.put_head(SectionHead(2, 7))
        yield from save.save_iterate(device)
        yield sections.put_footer(7)
        device.device_state = 2
        yield sections.put_head(SectionHead(3, 7))
        yield from save.save_complete_precopy(device)
        yield sections.put_footer(7)

    run(whole(), world)
    assert world.out == bytes.fromhex(
        "01 00000007 11 303030303a30303a30342e302f7666696f 00000000 00000001"
        "ffffffffef100003 ffffffffef100001 7e 00000007"
        "02 00000007 ffffffffef100004 0000000000000004 aabbccdd ffffffffef100001 7e 00000007"
        "03 00000007 ffffffffef100002 ffffffffef100001 ffffffffef100001 7e 00000007"
    )


def test_pre_copy_access_order_trapped_and_mapped():
    region = migration_region(areas=AREAS)
    device = device_with(region)
    device.mapped = {0, 1}
    device.pending_bytes = 0x3000
    world = Scripted({"data_offset": [0x1000, 0x4800, 0x6000], "data_size": 0x1000})
    for _ in range(3):
        run(save.save_iterate(device), world)
    reads = ["R64 data_offset", "R64 data_size"]
    # In the first area; over its end, where the posting would read out of bounds; between the areas.
    assert world.fields() == [
        *(*reads, "ReadData 0x1000 area 0"),
        *(*reads, "ReadData 0x4800 trapped"),
        *(*reads, "ReadData 0x6000 trapped"),
    ]


def test_stop_and_copy_access_order():
    device = device_with(migration_region(), profile=AS_POSTED)
    device.device_state = 2
    world = Scripted({"pending_bytes": [8, 4, 0], "data_offset": 0x40, "data_size": 4})
    run(save.save_complete_precopy(device), world)
    chunk = ["R64 data_offset", "R64 data_size", "ReadData 0x40 trapped", "R64 pending_bytes"]
    assert world.fields() == [
        "W32 device_state=0x2",
        "R64 pending_bytes",
        *chunk,
        *chunk,
        "W32 device_state=0x0",
    ]
    assert world.out == CONFIG + END + 2 * (DATA + be64(4) + bytes(4)) + END


def test_quirk_saving_written_twice_shows_only_when_posted():
    for profile, times in ((INTERFACE, 0), (AS_POSTED, 1)):
        device = device_with(migration_region(), profile=profile)
        device.device_state = 2
        world = Scripted({"pending_bytes": 0})
        run(save.save_complete_precopy(device), world)
        assert world.fields().count("W32 device_state=0x2") == times


def test_quirk_iterate_ignores_pending():
    for profile, out in ((INTERFACE, END), (AS_POSTED, DATA + be64(0) + END)):
        device = device_with(migration_region(), profile=profile)
        world = Scripted({"data_offset": 0, "data_size": 0})
        assert run(save.save_iterate(device), world) is True
        assert world.out == out


def test_quirk_pending_wraps_shows_in_the_event():
    for profile, pending in ((INTERFACE, 0), (Profile("x", frozenset({"pending-wraps"})), (1 << 64) - 2)):
        device = device_with(migration_region(), profile=profile)
        device.pending_bytes = 2
        world = Scripted({"data_offset": 0x1000, "data_size": 4})
        run(save.save_iterate(device), world)
        (event,) = (x for x in world.log if isinstance(x, Emit) and x.event == "vfio_save_buffer")
        assert event.args == ("dev0", 0x1000, 4, pending)


@pytest.mark.parametrize(
    ("offset", "size", "what"),
    [
        (0, 4, "header"),
        (0x3F, 4, "header"),
        (0x10000, 4, "past the region's end"),
        (1 << 63, 4, "past the region's end"),
        (0xFFFD, 4, "ends past"),
        (0x1000, 1 << 63, "ends past"),
        ((1 << 64) - 4, 8, "past the region's end"),
    ],
)
def test_a_hostile_place_is_a_rule_error_and_touches_no_data(offset, size, what):
    device = device_with(migration_region())
    device.pending_bytes = 8
    world = Scripted({"data_offset": offset, "data_size": size})
    with pytest.raises(RuleError, match=what) as caught:
        run(save.save_iterate(device), world)
    assert "v5 spec" in caught.value.rule
    assert not [x for x in world.fields() if x.startswith("ReadData")]


def test_pending_that_never_falls_ends():
    device = device_with(migration_region())
    device.device_state = 2
    world = Scripted({"pending_bytes": 8, "data_offset": 0x1000, "data_size": 4})
    with pytest.raises(RuleError, match="not fallen"):
        run(save.save_complete_precopy(device), world)
    assert world.fields().count("R64 data_offset") == save.STALL_LIMIT
    assert world.out.count(DATA) == save.STALL_LIMIT  # what was saved so far is there


def test_nothing_given_while_pending_in_stop_and_copy():
    device = device_with(migration_region())
    device.device_state = 2
    with pytest.raises(RuleError, match="data_size is 0"):
        run(
            save.save_complete_precopy(device),
            Scripted({"pending_bytes": 8, "data_offset": 64, "data_size": 0}),
        )


@pytest.mark.parametrize("field", ["device_state", "pending_bytes", "data_offset", "data_size", "ReadData"])
def test_an_errno_of_any_access_names_it(field):
    device = device_with(migration_region())
    device.device_state, device.vm_running = 1, True
    world = Scripted(
        {"pending_bytes": [4, 0], "data_offset": 0x1000, "data_size": 4}, errors={field: errno.EIO}
    )

    def whole():
        yield from save.save_setup(device)
        yield from save.save_pending(device, save.Totals())
        yield from save.save_iterate(device)

    with pytest.raises(AccessError, match="EIO") as caught:
        run(whole(), world)
    assert field in str(caught.value) or "data" in str(caught.value)
    assert device.device_state == (1 if field == "device_state" else 3)


def test_resume_orders_of_spec_2_3():
    stream = DATA + be64(4) + b"abcd" + DATA + be64(2) + b"ef" + DATA + be64(0) + END
    device = device_with(migration_region(areas=AREAS))
    device.mapped = {0}
    world = Scripted({"data_offset": [0x1000, 0x9000]}, stream=stream)
    run(load.load_state(device, Cursor()), world)
    assert world.fields() == [
        *("R64 data_offset", "WriteData 0x1000 area 0", "W64 data_size=0x4"),
        *("R64 data_offset", "W64 data_size=0x2", "WriteData 0x9000 trapped"),
    ]
    assert world.events() == ["vfio_load_state", "vfio_load_state_device_data"] * 2 + ["vfio_load_state"]


@pytest.mark.parametrize(
    ("stream", "what", "position"),
    [
        (SETUP + DATA, "after the setup state", 8),
        (CONFIG + be64(7), "after the config state", 8),
        (be64(0) + END, "unknown marker", 0),
        (DATA + be64(1 << 63), "room for", 8),
    ],
)
def test_a_wrong_stream_is_refused_before_the_device_is_touched(stream, what, position):
    device = device_with(migration_region())
    world = Scripted({"data_offset": 0x1000}, stream=stream)
    with pytest.raises(StreamError, match=what) as caught:
        run(load.load_state(device, Cursor()), world)
    assert caught.value.position == position
    assert world.fields() == []


@given(st.integers(0, 60))
def test_a_stream_cut_anywhere_is_a_typed_error(cut):
    stream = (DATA + be64(4) + b"abcd" + DATA + be64(8) + b"abcdefgh" + END)[:cut]
    device = device_with(migration_region())
    world = Scripted({"data_offset": 0x1000}, stream=stream)
    whole = 2 * 16 + 12 + 8
    if cut >= whole:
        run(load.load_state(device, Cursor()), world)
        return
    with pytest.raises(StreamCutError):
        run(load.load_state(device, Cursor()), world)
    # No chunk reached the device in part: every data write has its whole record behind it.
    assert len([x for x in world.fields() if x.startswith("WriteData")]) == (cut >= 20) + (cut >= 44)


@given(st.binary(max_size=200))
def test_any_bytes_end_in_a_typed_error_or_a_section(stream):
    device = device_with(migration_region())
    world = Scripted({"data_offset": 0x1000}, stream=stream)
    try:
        run(load.load_state(device, Cursor()), world)
    except StreamError:
        pass


@given(st.lists(st.integers(0, (1 << 64) - 1), min_size=1, max_size=30))
def test_any_answers_of_a_device_end_in_a_typed_error_or_a_chunk(values):
    device = device_with(migration_region())
    device.device_state = 2
    world = Scripted({"pending_bytes": [*values, 0], "data_offset": list(values), "data_size": values[::-1]})
    try:
        run(save.save_complete_precopy(device), world)
    except RuleError as error:
        assert error.rule
    else:
        assert device.device_state == 0


def test_set_state_refuses_arcs_that_are_none_before_the_write():
    for old, new in ((0, 3), (3, 4), (1, 6), (1, 7), (1, 5), (4, 2), (3, 0)):
        device = device_with(migration_region())
        device.device_state = old
        world = Scripted()
        with pytest.raises(StateError):
            run(set_state(device, new), world)
        assert world.fields() == []
        assert device.device_state == old


def test_set_state_keeps_high_bits_and_the_cache_on_refusal():
    device = device_with(migration_region())
    device.device_state = 0x80000001
    world = Scripted()
    run(set_state(device, 3), world)
    assert world.fields() == ["W32 device_state=0x80000003"]
    refusing = Scripted(errors={"device_state": errno.EIO})
    with pytest.raises(AccessError):
        run(set_state(device, 2), refusing)
    assert device.device_state == 0x80000003
    assert refusing.events() == []


def test_vm_state_handler_reports_what_was_asked_for_even_when_refused():
    device = device_with(migration_region())
    device.device_state, device.vm_running = 3, True
    world = Scripted(errors={"device_state": errno.EBUSY})
    failure = run(vm_state_changed(device, False, "finish-migrate"), world)
    assert isinstance(failure, AccessError)
    assert not device.vm_running
    (event,) = (x for x in world.log if isinstance(x, Emit))
    assert event.args == ("dev0", 0, "finish-migrate", 2)


def test_vm_start_keeps_saving_only_while_migrating():
    for migrating, state in ((True, 3), (False, 1)):
        device = device_with(migration_region())
        device.device_state = 2
        run(vm_state_changed(device, True, "running", migrating=migrating), Scripted())
        assert device.device_state == state


def test_notifier_leaves_a_paused_guests_device_stopped():
    for running, state in ((True, 1), (False, 0)):
        device = device_with(migration_region())
        device.device_state, device.vm_running = 2, running
        run(notify_status(device, MigrationStatus.CANCELLED), Scripted())
        assert device.device_state == state


def test_quirk_snapshot_by_way_of_stopped():
    for profile, state in ((INTERFACE, 2), (AS_POSTED, 0)):
        device = device_with(migration_region(), profile=profile)
        device.device_state, device.vm_running = 1, True
        run(vm_state_changed(device, False, "save-vm"), Scripted())
        assert device.device_state == state


class TestProbe:
    def probe(self, *regions):
        from vfiokit.protocol.v5.device import MigratingDevice

        device, world = MigratingDevice("dev0"), Scripted(regions=regions)
        return run(probe(device), world), device, world

    def test_found_by_type_over_holes(self):
        found, device, world = self.probe(migration_region(areas=AREAS))
        assert found
        assert device.areas == AREAS
        assert world.events() == [
            "vfio_get_dev_region",
            "vfio_region_sparse_mmap_header",
            *["vfio_region_sparse_mmap_entry"] * 2,
            "vfio_region_setup",
            "vfio_migration_probe",
        ]
        assert world.fields() == []  # nothing is written to device_state here

    @pytest.mark.parametrize(
        ("region", "reason"),
        [
            (migration_region(type_=(3, 1)), "no region of type"),
            (migration_region(size=0), "is 0"),
            (migration_region(size=64), "no room"),
        ],
    )
    def test_blocked_with_the_reason(self, region, reason):
        found, device, _ = self.probe(region)
        assert not found
        assert device.blocker.startswith("VFIO device doesn't support migration")
        assert reason in device.blocker

    def test_mmap_flag_without_sparse_capability_would_map_the_header(self):
        from dataclasses import replace

        region = replace(migration_region(areas=AREAS), sparse=None)
        found, device, _ = self.probe(region)
        assert not found
        assert "covers the trapped header" in device.blocker


def test_a_refused_mmap_goes_trapped_and_undoes_the_rest():
    class Refusing(Scripted):
        def perform(self, access):
            if isinstance(access, Map) and access.area == 1:
                self.log.append(access)
                raise AccessError(access, errno.ENOMEM)
            return super().perform(access)

    device, world = device_with(migration_region(areas=AREAS)), Refusing()
    run(map_areas(device), world)
    assert device.mapped == set()
    assert world.events() == ["vfio_region_mmap", "vfio_region_mmap_fault"]
    assert [type(x).__name__ for x in world.log if type(x).__name__ in ("Map", "Unmap")] == [
        "Map",
        "Map",
        "Unmap",
    ]


def test_puts_are_named_as_the_spec_names_them():
    device = device_with(migration_region())
    device.device_state, device.vm_running = 1, True
    world = Scripted()
    run(save.save_setup(device), world)
    assert [x.what for x in world.log if isinstance(x, Put)] == ["DEV_SETUP_STATE", "END_OF_STATE"]
