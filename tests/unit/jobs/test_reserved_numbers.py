"""SeriesNumbers are reserved where the Orthanc that leads next sees them."""

from __future__ import annotations

from derived_series.jobs.queue.reserved_numbers import SeriesNumbers
from store_places import StorePlace
from test_jobs_store import job


def test_who_leads_next_gives_no_number_twice(store_place: StorePlace) -> None:
    """What one has reserved and not stored yet, another cannot see in the study."""
    in_study: set[int] = {3}
    store = store_place.open()
    for name in ("a", "b", "c"):
        store.add(job(name), None, most=10)
    first = SeriesNumbers(store).reserve("a", "study", 3, lambda: in_study, 2)
    store.close()
    store = store_place.open("another")
    numbers = SeriesNumbers(store)
    assert numbers.reserve("b", "study", 3, lambda: in_study) not in range(first, first + 2)
    assert numbers.reserve("a", "study", 3, lambda: in_study, 2) == first, "another attempt has the same"
    assert numbers.reserve("c", "another study", 3, lambda: in_study) == first
    store.close()
