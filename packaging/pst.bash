# bash completion for pst                                                   -*- shell-script -*-
# SPDX-License-Identifier: BSD-2-Clause
#
# Subcommands and options are taken from what `pst help` says, so they are those of the pst that is there.

_pst() {
	local word=${COMP_WORDS[COMP_CWORD]} command=${COMP_WORDS[1]} words
	COMPREPLY=()
	if ((COMP_CWORD == 1)); then
		words=$("${COMP_WORDS[0]}" help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\)  *[a-z].*/\1/p')
		mapfile -t COMPREPLY < <(compgen -W "$words --version" -- "$word")
	elif [[ $word == -* ]]; then
		words=$("${COMP_WORDS[0]}" help "$command" 2>/dev/null | grep -oE '(^|[^[:alnum:]-])--?[a-z][a-z-]*' | grep -oE -- '--?[a-z].*' | sort -u)
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
	elif [[ $command == help ]]; then
		words=$("${COMP_WORDS[0]}" help 2>/dev/null | sed -n 's/^  \([a-z][a-z]*\)  *[a-z].*/\1/p')
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
	elif [[ ($command == port && $COMP_CWORD == 2) || ${COMP_WORDS[COMP_CWORD - 1]} == --xdp ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(ls /sys/class/net 2>/dev/null)" -- "$word")
	elif [[ ${COMP_WORDS[COMP_CWORD - 1]} == --user ]]; then
		mapfile -t COMPREPLY < <(compgen -u -- "$word")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
	fi
}
complete -o filenames -F _pst pst
