"""What a claim's check is fed to see that it can fail: `(measured, predicted)`, tampered with."""


def scaled(name, factor):
    """What was measured or predicted under this name times a factor, which may be of that data."""

    def mutate(measured, predicted):
        which = measured if name in measured else predicted
        by = factor(which) if callable(factor) else factor
        tampered = which.assign({name: which[name] * by})
        return (tampered, predicted) if name in measured else (measured, tampered)

    return mutate


def added(name, amount):
    """What was measured under this name, off by an amount."""
    return lambda measured, predicted: (
        measured.assign({name: measured[name] + amount}),
        predicted,
    )


def backwards(dim, *names):
    """The same numbers in the opposite order along one dimension."""

    def mutate(measured, predicted):
        which = measured if names[0] in measured else predicted
        turned = {
            name: (which[name].dims, which[name].isel({dim: slice(None, None, -1)}).values)
            for name in names
        }
        tampered = which.assign(turned)
        return (tampered, predicted) if names[0] in measured else (measured, tampered)

    return mutate


def told(coord, values):
    """Runs told as those of other coordinates than the figure says."""
    return lambda measured, predicted: (
        measured.assign_coords({coord: values(measured[coord].values)}),
        predicted,
    )
