"""Where the workflow reaches into Snakemake."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from rasterloom.planning.snakemake_internals import lift_rate_limit


@pytest.mark.parametrize(("jobs", "seconds", "lifted"), [(100, 1, True), (100, 60, False), (7, 1, False)])
def test_lift_rate_limit_leaves_what_a_user_chose(jobs: int, seconds: int, lifted: bool) -> None:
    scheduler = SimpleNamespace(job_rate_limiter=SimpleNamespace(max_jobs=jobs, timespan=seconds))
    lift_rate_limit(SimpleNamespace(scheduler=scheduler))
    assert (scheduler.job_rate_limiter is None) == lifted


def test_lift_rate_limit_of_no_limit() -> None:
    scheduler = SimpleNamespace(job_rate_limiter=None)
    lift_rate_limit(SimpleNamespace(scheduler=scheduler))
    assert scheduler.job_rate_limiter is None


def test_snakemake_has_the_limit_that_is_lifted() -> None:
    """If Snakemake changes, this fails, and the work-around may go."""
    from snakemake.scheduling.job_scheduler import JobRateLimiter
    from snakemake.settings.types import MaxJobsPerTimespan

    limiter = JobRateLimiter(MaxJobsPerTimespan.parse_choice("100/1s"))
    assert (limiter.max_jobs, limiter.timespan) == (100, 1)
