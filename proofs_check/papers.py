"""Papers that many claims speak of: title and authors written once."""

from __future__ import annotations

from dataclasses import dataclass

from proofs_check.claim import Source


@dataclass(frozen=True)
class Paper:
    """A paper; called with the place that is meant, it is the source of a claim.

    Attributes:
        title: its title.
        authors: in words.
        year: of publication.
        arxiv: id, empty where there is none.
        within: what stands before the place, such as the journal.
    """

    title: str
    authors: str
    year: int
    arxiv: str = ""
    within: str = ""

    def __call__(self, location: str) -> Source:
        """The source, with the place that is meant."""
        return Source(
            title=self.title,
            authors=self.authors,
            year=self.year,
            arxiv=self.arxiv,
            location=f"{self.within}; {location}" if self.within else location,
        )


central_flows = Paper(
    title="Understanding Optimization in Deep Learning with Central Flows",
    authors="Jeremy M. Cohen, Alex Damian, Ameet Talwalkar, J. Zico Kolter and "
    "Jason D. Lee",
    year=2025,
    arxiv="2410.24206",
)
"""Cohen et al., ICLR 2025, arXiv 2410.24206."""


stochastic_modified_equations = Paper(
    title="Stochastic Modified Equations and Dynamics of Stochastic Gradient "
    "Algorithms I: Mathematical Foundations",
    authors="Qianxiao Li, Cheng Tai and Weinan E",
    year=2019,
    arxiv="1811.01558",
)
"""Li, Tai and E, JMLR 2019, arXiv 1811.01558."""


adaptive_sdes = Paper(
    title="On the SDEs and Scaling Rules for Adaptive Gradient Algorithms",
    authors="Sadhika Malladi, Kaifeng Lyu, Abhishek Panigrahi and Sanjeev Arora",
    year=2022,
    arxiv="2205.10287",
)
"""Malladi et al., NeurIPS 2022, arXiv 2205.10287."""


euler_divergence = Paper(
    title="Strong and weak divergence in finite time of Euler's method for "
    "stochastic differential equations with non-globally Lipschitz continuous "
    "coefficients",
    authors="Martin Hutzenthaler, Arnulf Jentzen and Peter E. Kloeden",
    year=2011,
    within="Proceedings of the Royal Society A 467",
)
"""Hutzenthaler, Jentzen and Kloeden, 2011."""


tamed_euler = Paper(
    title="Strong convergence of an explicit numerical method for SDEs with "
    "nonglobally Lipschitz continuous coefficients",
    authors="Martin Hutzenthaler, Arnulf Jentzen and Peter E. Kloeden",
    year=2012,
    within="Annals of Applied Probability 22(4), 1611-1641",
)
"""Hutzenthaler, Jentzen and Kloeden, 2012."""


tamed_milstein = Paper(
    title="The tamed Milstein method for commutative stochastic differential "
    "equations with non-globally Lipschitz continuous coefficients",
    authors="Xiaojie Wang and Siqing Gan",
    year=2013,
    within="Journal of Difference Equations and Applications 19(3), 466-490",
)
"""Wang and Gan, 2013."""


theopoula_paper = Paper(
    title="Polygonal Unadjusted Langevin Algorithms: Creating stable and efficient "
    "adaptive algorithms for neural networks",
    authors="Dong-Young Lim and Sotirios Sabanis",
    year=2024,
    arxiv="2105.13937",
)
"""Lim and Sabanis, JMLR 2024, arXiv 2105.13937."""


tusla_paper = Paper(
    title="Taming neural networks with TUSLA: Non-convex learning via adaptive "
    "stochastic gradient Langevin algorithms",
    authors="Attila Lovas, Iosif Lytras, Miklós Rásonyi and Sotirios Sabanis",
    year=2023,
    arxiv="2006.14514",
)
"""Lovas et al., SIMODS 2023, arXiv 2006.14514."""


tula_paper = Paper(
    title="The tamed unadjusted Langevin algorithm",
    authors="Nicolas Brosse, Alain Durmus, Éric Moulines and Sotirios Sabanis",
    year=2019,
    arxiv="1710.05559",
)
"""Brosse et al., 2019, arXiv 1710.05559."""


raginsky = Paper(
    title="Non-convex learning via Stochastic Gradient Langevin Dynamics: a "
    "nonasymptotic analysis",
    authors="Maxim Raginsky, Alexander Rakhlin and Matus Telgarsky",
    year=2017,
    arxiv="1702.03849",
)
"""Raginsky, Rakhlin and Telgarsky, COLT 2017."""


losing_momentum = Paper(
    title="Losing Momentum in Continuous-time Stochastic Optimisation",
    authors="Kexin Jin, Jonas Latz, Chenguang Liu and Alessandro Scagliotti",
    year=2025,
    arxiv="2209.03705",
)
"""Jin, Latz, Liu and Scagliotti: the stochastic gradient-momentum process."""


stochastic_gradient_process = Paper(
    title="Analysis of stochastic gradient descent in continuous time",
    authors="Jonas Latz",
    year=2021,
    arxiv="2004.07177",
)
"""Latz: stochastic gradient descent in continuous time, by switching."""


continuous_data = Paper(
    title="A Continuous-time Stochastic Gradient Descent Method for Continuous Data",
    authors="Kexin Jin, Jonas Latz, Chenguang Liu and Carola-Bibiane Schönlieb",
    year=2023,
    arxiv="2112.03754",
)
"""Jin, Latz, Liu and Schönlieb: stochastic gradient descent for continuous data."""


inertial_newton = Paper(
    title="An Inertial Newton Algorithm for Deep Learning",
    authors="Camille Castera, Jérôme Bolte, Cédric Févotte and Edouard Pauwels",
    year=2021,
    arxiv="1905.12278",
)
"""Castera et al., JMLR 2021, arXiv 1905.12278."""


saddle_avoidance = Paper(
    title="Inertial Newton Algorithms Avoiding Strict Saddle Points",
    authors="Camille Castera",
    year=2023,
    arxiv="2111.04596",
)
"""Castera, JOTA 2023, arXiv 2111.04596."""


variable_mass = Paper(
    title="Continuous Newton-like Methods featuring Inertia and Variable Mass",
    authors="Camille Castera, Hedy Attouch, Jalal Fadili and Peter Ochs",
    year=2023,
    arxiv="2301.08726",
)
"""Castera et al., 2023, arXiv 2301.08726."""


hessian_damping = Paper(
    title="On the effect of perturbations in first-order optimization methods "
    "with inertia and Hessian driven damping",
    authors="Hedy Attouch, Jalal Fadili and Vyacheslav Kungurtsev",
    year=2022,
    arxiv="2106.16159",
)
"""Attouch, Fadili and Kungurtsev, 2022, arXiv 2106.16159."""


nesterov_flow = Paper(
    title="A Differential Equation for Modeling Nesterov's Accelerated Gradient "
    "Method: Theory and Insights",
    authors="Weijie Su, Stephen Boyd and Emmanuel J. Candès",
    year=2016,
    arxiv="1503.01243",
)
"""Su, Boyd and Candès, JMLR 2016, arXiv 1503.01243."""


bregman_lagrangian = Paper(
    title="A Variational Perspective on Accelerated Methods in Optimization",
    authors="Andre Wibisono, Ashia C. Wilson and Michael I. Jordan",
    year=2016,
    arxiv="1603.04245",
)
"""Wibisono, Wilson and Jordan, 2016, arXiv 1603.04245."""


high_resolution = Paper(
    title="Understanding the Acceleration Phenomenon via High-Resolution "
    "Differential Equations",
    authors="Bin Shi, Simon S. Du, Michael I. Jordan and Weijie J. Su",
    year=2022,
    arxiv="1810.08907",
)
"""Shi, Du, Jordan and Su, 2022, arXiv 1810.08907v3."""


momentum_resnets = Paper(
    title="Momentum Residual Neural Networks",
    authors="Michael E. Sander, Pierre Ablin, Mathieu Blondel and Gabriel Peyré",
    year=2021,
    arxiv="2102.07870",
)
"""Sander et al., ICML 2021, arXiv 2102.07870."""


negative_curvature = Paper(
    title="Escape saddle points by a simple gradient-descent based algorithm",
    authors="Chenyi Zhang and Tongyang Li",
    year=2021,
    arxiv="2111.14069",
)
"""Zhang and Li, NeurIPS 2021, arXiv 2111.14069."""
