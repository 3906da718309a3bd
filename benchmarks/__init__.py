"""Benchmarks: fused against unfused, the cost of an operation, a training step, other libraries."""

import os

# One thread each: to be set before NumPy loads its BLAS, and JAX and PyTorch start their pools.
for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)
os.environ.setdefault("JAX_PLATFORMS", "cpu")
