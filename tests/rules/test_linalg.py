"""What linear algebra promises where the usual formulas fail, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import autograd_lite as ag


def tracked(values):
    return ag.Tensor(np.asarray(values, float), requires_grad=True)


def cofactors(a):
    n = len(a)
    return np.array(
        [
            [(-1) ** (i + k) * np.linalg.det(np.delete(np.delete(a, i, 0), k, 1)) for k in range(n)]
            for i in range(n)
        ]
    )


@pytest.mark.parametrize("n", [2, 3, 5, 18])
def test_the_derivative_of_a_singular_determinant_is_the_matrix_of_cofactors(n):
    rng = np.random.default_rng(n)
    a = rng.standard_normal((n, n))
    a[0] = a[1] + (a[2] if n > 2 else 0)
    expected = cofactors(a)
    np.testing.assert_allclose(ag.grad(np.linalg.det)(a), expected, atol=1e-9 * abs(expected).max())


def test_determinants_of_rank_0_and_1_have_derivatives_of_every_order():
    a = np.zeros((3, 3))
    assert not ag.grad(np.linalg.det)(a).any()
    hessian = ag.hessian(np.linalg.det)
    assert not hessian(a).any()
    third = ag.jacobian(hessian)(a)
    assert third[0, 0, 1, 1, 2, 2] == 1
    assert third[0, 1, 1, 0, 2, 2] == -1
    ag.check_grads(np.linalg.det, np.ones((3, 3)), order=3)


def test_the_inverse_of_a_singular_matrix_is_refused():
    with pytest.raises(np.linalg.LinAlgError, match="Singular matrix"):
        np.linalg.inv(tracked([[1, 2], [2, 4]]))


@pytest.mark.parametrize("function", [np.linalg.cholesky, lambda a: np.linalg.eigh(a)[1]])
def test_the_cotangent_of_a_symmetric_matrix_is_symmetric(function):
    a = tracked([[4, 1, 0], [1, 3, 1], [0, 1, 2]])
    np.sum(function(a) * np.arange(9.0).reshape(3, 3)).backward()
    np.testing.assert_allclose(a.grad, a.grad.T, rtol=1e-13, atol=1e-13)


def test_equal_eigenvalues_have_a_derivative_but_their_vectors_have_none():
    gradient = ag.grad(lambda a: np.sum(np.linalg.eigvalsh(a) * np.array([1.0, 2.0, 3.0])))
    np.testing.assert_array_equal(gradient(np.eye(3)), np.diag([1.0, 2.0, 3.0]))
    assert np.isnan(ag.grad(lambda a: np.sum(np.linalg.eigh(a)[1] * 2))(np.eye(2))).all()


def test_singular_values_that_are_equal_or_zero_have_a_derivative():
    def nuclear(a):
        return np.sum(np.linalg.svd(a, compute_uv=False))

    np.testing.assert_allclose(ag.grad(nuclear)(2 * np.eye(3)), np.eye(3), atol=1e-15)
    assert not ag.grad(nuclear)(np.zeros((2, 3))).any()


def test_least_squares_leave_out_the_directions_that_numpy_does():
    u, v = (np.linalg.qr(np.random.default_rng(k).normal(size=(60, 60)))[0] for k in (0, 1))
    a, b = u * np.r_[np.ones(59), 5e-15] @ v.T, np.arange(60.0)
    expected = np.linalg.lstsq(a, b)[0]
    np.testing.assert_allclose(np.linalg.lstsq(tracked(a), b)[0].data, expected, rtol=1e-9)
    slope = ag.grad(lambda b: np.linalg.lstsq(tracked(a), b)[0][0])(b)
    np.testing.assert_allclose(slope.data @ b, expected[0], rtol=1e-9)


def test_the_inner_product_with_a_number_is_of_numpy_s_type():
    x = np.array([1, 2], np.float32)
    for other in (2.0, [1.0, 2.0], np.float32(2)):
        assert np.inner(ag.Tensor(x, requires_grad=True), other).dtype == np.inner(x, other).dtype


@pytest.mark.parametrize("optimize", [False, True])
def test_einsum_of_diagonals_and_lonely_subscripts_of_many_elements(optimize):
    rng = np.random.default_rng(0)
    x, y = tracked(rng.normal(size=(40, 40))), tracked(rng.normal(size=(40, 30)))
    np.sum(np.einsum("ii,ij->j", x, y, optimize=optimize) ** 2).backward()
    g = 2 * (np.diagonal(x.data) @ y.data)
    np.testing.assert_allclose(x.grad, np.diag(y.data @ g), rtol=1e-13)
    np.testing.assert_allclose(y.grad, np.outer(np.diagonal(x.data), g), rtol=1e-13)
    u, v = tracked(rng.normal(size=(40, 40))), tracked(rng.normal(size=30))
    np.sum(np.einsum("ij,k->i", u, v, optimize=optimize) ** 2).backward()
    g = 2 * u.data.sum(axis=1) * v.data.sum()
    np.testing.assert_allclose(u.grad, np.outer(g, np.full(40, v.data.sum())), rtol=1e-12)
    np.testing.assert_allclose(v.grad, np.full(30, g @ u.data.sum(axis=1)), rtol=1e-12)


def test_what_einsum_leaves_out_of_a_diagonal_leaks_no_nan():
    x = np.array([[2.0, 0.0], [0.0, 4.0]])
    with np.errstate(divide="ignore"):
        gradient = ag.grad(lambda x: np.sum(np.einsum("ii->i", np.log(x))))(x)
    np.testing.assert_array_equal(gradient, [[0.5, 0], [0, 0.25]])
    gradient = ag.grad(lambda x: np.sum(np.einsum("ii,i->i", x, [np.inf, np.nan])))(x)
    np.testing.assert_array_equal(gradient, [[np.inf, 0], [0, np.nan]])


def test_results_keep_their_names():
    a = tracked([[2, 1], [1, 3]])
    assert np.linalg.eigh(a).eigenvalues.requires_grad
    assert np.linalg.svd(a).Vh.requires_grad
    assert np.linalg.qr(a).R.requires_grad
    assert np.linalg.slogdet(a).logabsdet.requires_grad
    assert np.linalg.qr(a[:1], "complete").Q.shape == (1, 1)


def test_complex_eigenvalues_are_refused():
    rotation = tracked([[0, 1], [-1, 0]])
    with pytest.raises(TypeError, match=r"np\.linalg\.eig gives complex128 here"):
        np.linalg.eig(rotation)
    with pytest.raises(TypeError, match=r"np\.linalg\.eig gives complex128 here"):
        np.linalg.eigvals(rotation)


def test_real_eigenvalues_are_real_whatever_numpy_makes_of_them():
    values, vectors = np.linalg.eig(tracked([[2, 1], [1, 3]]))
    for result in (values, vectors, np.linalg.eigvals(tracked([[2, 1], [1, 3]]))):
        assert result.dtype == np.float64
        assert result.requires_grad
    np.testing.assert_allclose(np.sort(values.data), [2.5 - 1.25**0.5, 2.5 + 1.25**0.5])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda a: np.linalg.svd(a), r"np\.linalg\.svd: .* pass full_matrices=False"),
        (lambda a: np.linalg.qr(a, "raw"), r"np\.linalg\.qr: no derivative rule covers mode='raw'"),
        (lambda a: np.linalg.qr(a.T, "complete"), r"np\.linalg\.qr: .* use 'reduced' or 'r'"),
        (lambda a: np.cross(a[:, :2], a[:, :2]), r"np\.cross: .* append a 0"),
        (lambda a: np.tensordot(a, a, 1), r"np\.tensordot: shape-mismatch for sum"),
        (lambda a: np.einsum("ij->ik", a), r"np\.einsum of shape \(2, 3\): "),
        (lambda a: np.einsum("ijk", a), r"np\.einsum of shape \(2, 3\): "),
        (lambda a: np.einsum("ii", a), r"np\.einsum of shape \(2, 3\): "),
        (lambda a: np.einsum("ij,jk", a, a), r"np\.einsum of shapes \(2, 3\) and \(2, 3\): "),
        (lambda a: np.einsum("i...->i", a), r"np\.einsum of shape \(2, 3\): "),
        (lambda a: np.einsum(a, [0, -1]), r"np\.einsum: subscript is not within"),
        (lambda a: np.einsum("ij", a, a), r"np\.einsum: fewer operands"),
        (lambda a: np.linalg.multi_dot([a]), r"np\.linalg\.multi_dot: Expecting at least two"),
        (lambda a: np.linalg.multi_dot([a[None], a]), r"np\.linalg\.multi_dot: .* not aligned"),
        (lambda a: np.linalg.norm(a[None], 1, (0, 1, 2)), "Improper number of dimensions"),
        (lambda a: np.linalg.norm(a, 3), r"np\.linalg\.norm: Invalid norm order"),
        (lambda a: np.convolve(a[0], a[0], "all"), r"np\.convolve: mode must be .* 'all'"),
        (lambda a: np.linalg.lstsq(a, np.ones(2), 0.5), r"np\.linalg\.lstsq: .* covers rcond="),
        (lambda a: np.diff(a, -1), r"np\.diff: order must be non-negative but got -1"),
        (
            lambda a: np.gradient(a, [1.0, 2.0], axis=1),
            r"np\.gradient: when 1d, distances must match",
        ),
        (lambda a: np.linalg.outer(a, a), r"np\.linalg\.outer: .* of shapes \(2, 3\)"),
    ],
)
def test_what_has_no_rule_is_refused_by_name(call, message):
    with pytest.raises(ValueError, match=message):
        call(tracked(np.ones((2, 3))))


def test_options_that_no_rule_reads_are_refused():
    with pytest.raises(TypeError, match=r"np\.linalg\.pinv: .* the argument rcond="):
        np.linalg.pinv(tracked(np.ones((2, 3))), rcond=1e-3)
    with pytest.raises(TypeError, match=r"np\.dot.* argument out="):
        np.dot(tracked([1.0]), tracked([1.0]), out=np.zeros(()))


def test_functions_of_several_results_have_tangents():
    a, b = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])
    value, tangent = ag.jvp(np.linalg.eigh, (a,), (b,))
    v = value.eigenvectors
    h = 1e-6
    above, below = np.linalg.eigh(a + h * b), np.linalg.eigh(a - h * b)
    np.testing.assert_allclose(tangent[0], (above[0] - below[0]) / (2 * h), atol=1e-9)
    np.testing.assert_allclose(tangent[1], (above[1] - below[1]) / (2 * h), atol=1e-9)
    np.testing.assert_allclose(tangent[0], np.diagonal(v.T @ b @ v), rtol=1e-13)
    assert type(tangent) is type(value)
