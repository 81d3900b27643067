"""Papers that many claims speak of: title and authors written once."""

from __future__ import annotations

from proofs_check.claim import Source


def central_flows(location: str) -> Source:
    """Cohen et al., ICLR 2025, arXiv 2410.24206, with the place that is meant."""
    return Source(
        title="Understanding Optimization in Deep Learning with Central Flows",
        authors="Jeremy M. Cohen, Alex Damian, Ameet Talwalkar, J. Zico Kolter and "
        "Jason D. Lee",
        year=2025,
        arxiv="2410.24206",
        location=location,
    )


def stochastic_modified_equations(location: str) -> Source:
    """Li, Tai and E, JMLR 2019, arXiv 1811.01558, with the place that is meant."""
    return Source(
        title="Stochastic Modified Equations and Dynamics of Stochastic Gradient "
        "Algorithms I: Mathematical Foundations",
        authors="Qianxiao Li, Cheng Tai and Weinan E",
        year=2019,
        arxiv="1811.01558",
        location=location,
    )


def adaptive_sdes(location: str) -> Source:
    """Malladi et al., NeurIPS 2022, arXiv 2205.10287, with the place that is meant."""
    return Source(
        title="On the SDEs and Scaling Rules for Adaptive Gradient Algorithms",
        authors="Sadhika Malladi, Kaifeng Lyu, Abhishek Panigrahi and Sanjeev Arora",
        year=2022,
        arxiv="2205.10287",
        location=location,
    )


def euler_divergence(location: str) -> Source:
    """Hutzenthaler, Jentzen and Kloeden, 2011, with the place that is meant."""
    return Source(
        title="Strong and weak divergence in finite time of Euler's method for "
        "stochastic differential equations with non-globally Lipschitz continuous "
        "coefficients",
        authors="Martin Hutzenthaler, Arnulf Jentzen and Peter E. Kloeden",
        year=2011,
        location=f"Proceedings of the Royal Society A 467; {location}",
    )


def tamed_euler(location: str) -> Source:
    """Hutzenthaler, Jentzen and Kloeden, 2012, with the place that is meant."""
    return Source(
        title="Strong convergence of an explicit numerical method for SDEs with "
        "nonglobally Lipschitz continuous coefficients",
        authors="Martin Hutzenthaler, Arnulf Jentzen and Peter E. Kloeden",
        year=2012,
        location=f"Annals of Applied Probability 22(4), 1611-1641; {location}",
    )


def tamed_milstein(location: str) -> Source:
    """Wang and Gan, 2013, with the place that is meant."""
    return Source(
        title="The tamed Milstein method for commutative stochastic differential "
        "equations with non-globally Lipschitz continuous coefficients",
        authors="Xiaojie Wang and Siqing Gan",
        year=2013,
        location="Journal of Difference Equations and Applications 19(3), 466-490; "
        f"{location}",
    )


def theopoula_paper(location: str) -> Source:
    """Lim and Sabanis, JMLR 2024, arXiv 2105.13937, with the place that is meant."""
    return Source(
        title="Polygonal Unadjusted Langevin Algorithms: Creating stable and efficient "
        "adaptive algorithms for neural networks",
        authors="Dong-Young Lim and Sotirios Sabanis",
        year=2024,
        arxiv="2105.13937",
        location=location,
    )


def tusla_paper(location: str) -> Source:
    """Lovas et al., SIMODS 2023, arXiv 2006.14514, with the place that is meant."""
    return Source(
        title="Taming neural networks with TUSLA: Non-convex learning via adaptive "
        "stochastic gradient Langevin algorithms",
        authors="Attila Lovas, Iosif Lytras, Miklós Rásonyi and Sotirios Sabanis",
        year=2023,
        arxiv="2006.14514",
        location=location,
    )


def tula_paper(location: str) -> Source:
    """Brosse et al., 2019, arXiv 1710.05559, with the place that is meant."""
    return Source(
        title="The tamed unadjusted Langevin algorithm",
        authors="Nicolas Brosse, Alain Durmus, Éric Moulines and Sotirios Sabanis",
        year=2019,
        arxiv="1710.05559",
        location=location,
    )


def raginsky(location: str) -> Source:
    """Raginsky, Rakhlin and Telgarsky, COLT 2017, with the place that is meant."""
    return Source(
        title="Non-convex learning via Stochastic Gradient Langevin Dynamics: a "
        "nonasymptotic analysis",
        authors="Maxim Raginsky, Alexander Rakhlin and Matus Telgarsky",
        year=2017,
        arxiv="1702.03849",
        location=location,
    )


def losing_momentum(location: str) -> Source:
    """Jin, Latz, Liu and Scagliotti: the stochastic gradient-momentum process."""
    return Source(
        title="Losing Momentum in Continuous-time Stochastic Optimisation",
        authors="Kexin Jin, Jonas Latz, Chenguang Liu and Alessandro Scagliotti",
        year=2025,
        arxiv="2209.03705",
        location=location,
    )


def stochastic_gradient_process(location: str) -> Source:
    """Latz: stochastic gradient descent in continuous time, by switching."""
    return Source(
        title="Analysis of stochastic gradient descent in continuous time",
        authors="Jonas Latz",
        year=2021,
        arxiv="2004.07177",
        location=location,
    )


def continuous_data(location: str) -> Source:
    """Jin, Latz, Liu and Schönlieb: stochastic gradient descent for continuous data."""
    return Source(
        title="A Continuous-time Stochastic Gradient Descent Method for Continuous "
        "Data",
        authors="Kexin Jin, Jonas Latz, Chenguang Liu and Carola-Bibiane Schönlieb",
        year=2023,
        arxiv="2112.03754",
        location=location,
    )


def inertial_newton(location: str) -> Source:
    """Castera et al., JMLR 2021, arXiv 1905.12278, with the place that is meant."""
    return Source(
        title="An Inertial Newton Algorithm for Deep Learning",
        authors="Camille Castera, Jérôme Bolte, Cédric Févotte and Edouard Pauwels",
        year=2021,
        arxiv="1905.12278",
        location=location,
    )


def saddle_avoidance(location: str) -> Source:
    """Castera, JOTA 2023, arXiv 2111.04596, with the place that is meant."""
    return Source(
        title="Inertial Newton Algorithms Avoiding Strict Saddle Points",
        authors="Camille Castera",
        year=2023,
        arxiv="2111.04596",
        location=location,
    )


def variable_mass(location: str) -> Source:
    """Castera et al., 2023, arXiv 2301.08726, with the place that is meant."""
    return Source(
        title="Continuous Newton-like Methods featuring Inertia and Variable Mass",
        authors="Camille Castera, Hedy Attouch, Jalal Fadili and Peter Ochs",
        year=2023,
        arxiv="2301.08726",
        location=location,
    )


def hessian_damping(location: str) -> Source:
    """Attouch, Fadili and Kungurtsev, 2022, arXiv 2106.16159, with the place meant."""
    return Source(
        title="On the effect of perturbations in first-order optimization methods "
        "with inertia and Hessian driven damping",
        authors="Hedy Attouch, Jalal Fadili and Vyacheslav Kungurtsev",
        year=2022,
        arxiv="2106.16159",
        location=location,
    )


def nesterov_flow(location: str) -> Source:
    """Su, Boyd and Candès, JMLR 2016, arXiv 1503.01243, with the place meant."""
    return Source(
        title="A Differential Equation for Modeling Nesterov's Accelerated Gradient "
        "Method: Theory and Insights",
        authors="Weijie Su, Stephen Boyd and Emmanuel J. Candès",
        year=2016,
        arxiv="1503.01243",
        location=location,
    )


def bregman_lagrangian(location: str) -> Source:
    """Wibisono, Wilson and Jordan, 2016, arXiv 1603.04245, with the place meant."""
    return Source(
        title="A Variational Perspective on Accelerated Methods in Optimization",
        authors="Andre Wibisono, Ashia C. Wilson and Michael I. Jordan",
        year=2016,
        arxiv="1603.04245",
        location=location,
    )


def high_resolution(location: str) -> Source:
    """Shi, Du, Jordan and Su, 2022, arXiv 1810.08907v3, with the place meant."""
    return Source(
        title="Understanding the Acceleration Phenomenon via High-Resolution "
        "Differential Equations",
        authors="Bin Shi, Simon S. Du, Michael I. Jordan and Weijie J. Su",
        year=2022,
        arxiv="1810.08907",
        location=location,
    )


def momentum_resnets(location: str) -> Source:
    """Sander et al., ICML 2021, arXiv 2102.07870, with the place that is meant."""
    return Source(
        title="Momentum Residual Neural Networks",
        authors="Michael E. Sander, Pierre Ablin, Mathieu Blondel and Gabriel Peyré",
        year=2021,
        arxiv="2102.07870",
        location=location,
    )


def negative_curvature(location: str) -> Source:
    """Zhang and Li, NeurIPS 2021, arXiv 2111.14069, with the place that is meant."""
    return Source(
        title="Escape saddle points by a simple gradient-descent based algorithm",
        authors="Chenyi Zhang and Tongyang Li",
        year=2021,
        arxiv="2111.14069",
        location=location,
    )
