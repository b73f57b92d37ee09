"""One episode under random actions."""

import gymnasium


def main(scenario: str = "seven-sites", duration_s: float = 10.0) -> dict[str, float]:
    env = gymnasium.make("ran_sim.environment:ranloop/Cell-v0", scenario=scenario)
    env.action_space.seed(1)
    env.reset(seed=1, options={"load": 0.8, "run.duration_s": duration_s})
    truncated = False
    while not truncated:
        _, _, _, truncated, info = env.step(env.action_space.sample())
    env.close()
    return dict(info["score"])


if __name__ == "__main__":
    print(main())
