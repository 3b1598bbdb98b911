"""``python -m infra.deploy.operate STAGE COMMAND``: operate a stage with the credentials of its AWS account.

Exit codes: 0 done, 1 not done or not everything done, 2 wrong arguments, 3 not confirmed.
"""

import sys

from infra.deploy.operate.command_line import run

if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
