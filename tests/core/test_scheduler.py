"""A unit runs as soon as what it needs is complete, whatever else of the plan is not."""

import random

from corpuskit.core.plan import Need, Plan, Stage, Unit
from corpuskit.engines import Task
from corpuskit.run.scheduler import Queue


def stage(name: str, needs: dict[str, str], units: int = 3) -> Stage:
    made = [Unit(f"{name}-{number}", "", [], "", bytes=units - number) for number in range(units)]
    return Stage(name, "decide", {}, {}, {need: Need(need, how) for need, how in needs.items()}, units=made)


def plan(*stages: Stage) -> Plan:
    return Plan("test", {one.name: one for one in stages}, 1 << 30, 1 << 20, 0, [], [])


def queue(made: Plan, complete: dict[str, set[int]] | None = None) -> Queue:
    return Queue(made, set(made.stages), {name: set((complete or {}).get(name, ())) for name in made.stages})


def taken(waiting: Queue) -> list[Task]:
    found = []
    while (task := waiting.take()) is not None:
        found.append(task)
    return found


def test_a_slow_unit_holds_back_nothing_that_does_not_need_it() -> None:
    waiting = queue(plan(stage("read", {}), stage("sign", {"read": "each"}), stage("rank", {"sign": "all"}, 1)))
    assert taken(waiting) == [Task("read", 0), Task("read", 1), Task("read", 2)]  # the largest first
    waiting.done(Task("read", 1))  # while the units 0 and 2 go on
    assert taken(waiting) == [Task("sign", 1)]
    waiting.done(Task("read", 2))
    waiting.done(Task("sign", 1))
    assert taken(waiting) == [Task("sign", 2)]
    waiting.done(Task("sign", 2))
    waiting.done(Task("read", 0))
    assert taken(waiting) == [Task("sign", 0)]
    waiting.done(Task("sign", 0))
    assert taken(waiting) == [Task("rank", 0)]


def test_what_is_complete_is_not_given_again_and_what_waited_for_it_is() -> None:
    made = plan(stage("read", {}), stage("sign", {"read": "each"}), stage("rank", {"sign": "all"}, 1))
    assert taken(queue(made, {"read": {0, 1, 2}, "sign": {0, 2}})) == [Task("sign", 1)]
    assert taken(queue(made, {"read": {0, 1, 2}, "sign": {0, 1, 2}})) == [Task("rank", 0)]
    assert taken(queue(made, {"read": {0, 1, 2}, "sign": {0, 1, 2}, "rank": {0}})) == []


def test_nothing_follows_a_unit_that_failed() -> None:
    waiting = queue(plan(stage("read", {}), stage("sign", {"read": "each"}), stage("rank", {"sign": "all"}, 1)))
    taken(waiting)
    for number in (0, 2):  # unit 1 failed
        waiting.done(Task("read", number))
    assert taken(waiting) == [Task("sign", 0), Task("sign", 2)]
    for number in (0, 2):
        waiting.done(Task("sign", number))
    assert taken(waiting) == []


def test_on_random_plans_every_unit_runs_once_and_after_what_it_needs() -> None:
    for seed in range(200):
        rng = random.Random(seed)
        stages: list[Stage] = []
        for number in range(rng.randint(1, 8)):
            units = rng.randint(1, 5)
            needs = {
                one.name: "each" if len(one.units) == units and rng.random() < 0.6 else "all"
                for one in stages
                if rng.random() < 0.4
            }
            stages.append(stage(f"s{number}", needs, units))
        made = plan(*stages)
        complete = {one.name: {n for n in range(len(one.units)) if rng.random() < 0.2} for one in stages}
        done = {Task(name, number) for name, numbers in complete.items() for number in numbers}
        waiting, running = queue(made, complete), []
        while True:
            running += taken(waiting)
            if not running:
                break
            task = running.pop(rng.randrange(len(running)))
            assert task not in done
            for need in made.stages[task.stage].needs.values():
                wanted = [task.unit] if need.how == "each" else range(len(made.stages[need.stage].units))
                assert {Task(need.stage, number) for number in wanted} <= done
            done.add(task)
            waiting.done(task)
        assert len(done) == sum(len(one.units) for one in stages)
